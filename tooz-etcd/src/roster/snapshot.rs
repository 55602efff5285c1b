//! Reading a roster, page by page at one revision.

use tooz_core::Result;
use tooz_core::driver::support::{hashed_version, session_lost};
use tooz_core::driver::{Roster, Snapshot};

use crate::client::{GetOptions, KeyRange, KeyValue, Txn};
use crate::layout::{RosterKeys, seq};
use crate::session::EtcdSession;

/// How many entries one request reads.
const PAGE: usize = 1_000;

/// The keys of a roster at one revision.
#[derive(Debug)]
pub(crate) struct StoredRoster {
    pub(super) revision: i64,
    pub(super) declared: Option<KeyValue>,
    /// In the order of their creation.
    pub(super) entries: Vec<KeyValue>,
}

impl EtcdSession {
    pub(crate) async fn read_stored(&self, roster: &Roster) -> Result<StoredRoster> {
        let mut range = self.layout.roster(roster).entries();
        let page = GetOptions::new().with_limit(PAGE as i64);
        let reads = [range.clone().get(page.clone()), KeyRange::key(self.layout.declared(roster)).get_keys()];
        let mut answer = self.bulk.txn(Txn::new().when([self.fence.session_exists()]).and_then(reads)).await?;
        if !answer.succeeded {
            return Err(session_lost());
        }
        let (mut entries, revision) = (answer.next_read()?, answer.revision);
        let declared = answer.next_read()?.pop();
        let mut is_complete = entries.len() < PAGE;
        while !is_complete && let Some(last) = entries.last() {
            range.start = [last.key(), &[0]].concat();
            let more = self.bulk.read(range.clone().get(page.clone().with_revision(revision))).await?;
            is_complete = more.len() < PAGE;
            entries.extend(more);
        }
        entries.sort_unstable_by_key(seq);
        Ok(StoredRoster { revision, declared, entries })
    }
}

impl StoredRoster {
    pub(crate) fn snapshot(&self, keys: &RosterKeys) -> Snapshot {
        let declared = self.declared.as_ref().map(KeyValue::mod_revision);
        // The mod revision of a key identifies its content.
        let revisions = self.entries.iter().map(|entry| (entry.key(), entry.mod_revision(), declared));
        let version = hashed_version(declared.is_some(), revisions);
        let entries = self.entries.iter().filter_map(|entry| keys.parse(entry)).collect();
        Snapshot { version, declared: declared.is_some(), entries }
    }
}
