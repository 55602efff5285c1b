//! Reading a roster, page by page at one revision, and a watch on the same range for the next version.

use tooz_core::Result;
use tooz_core::driver::support::{hashed_version, session_lost};
use tooz_core::driver::{Roster, Snapshot, Version};

use crate::client::{KeyRange, KeyValue, Report, Txn, get, get_page};
use crate::layout::seq;
use crate::session::EtcdSession;

/// How many entries one request reads.
const PAGE: usize = 1_000;

/// The keys of a roster at one revision.
#[derive(Debug)]
pub(super) struct StoredRoster {
    pub(super) revision: i64,
    pub(super) declared: Option<KeyValue>,
    /// In the order of their creation.
    pub(super) entries: Vec<KeyValue>,
}

impl EtcdSession {
    pub(crate) async fn newer_snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let mut subscription = None;
        loop {
            let snapshot = self.snapshot_of(roster, &self.read_stored(roster).await?);
            if newer_than != Some(snapshot.version) {
                return Ok(snapshot);
            }
            match &mut subscription {
                None => subscription = Some(self.watches.subscribe(self.watched(roster), Report::All).await?),
                Some(subscription) => drop(subscription.events().await?),
            }
        }
    }

    /// The ranges that tell of every change of a roster.
    pub(super) fn watched(&self, roster: &Roster) -> Vec<KeyRange> {
        vec![self.layout.roster(roster).entries(), KeyRange::key(self.layout.declared(roster))]
    }

    pub(super) async fn read_stored(&self, roster: &Roster) -> Result<StoredRoster> {
        let mut range = self.layout.roster(roster).entries();
        let reads = [get_page(range.clone(), PAGE, 0), get(KeyRange::key(self.layout.declared(roster)))];
        let mut answer = self.bulk.txn(Txn::new().when([self.fence.session_exists()]).and_then(reads)).await?;
        if !answer.succeeded {
            return Err(session_lost());
        }
        let (mut entries, revision) = (answer.next_read()?, answer.revision);
        let declared = answer.next_read()?.pop();
        let mut is_complete = entries.len() < PAGE;
        while !is_complete && let Some(last) = entries.last() {
            range.start = [last.key(), &[0]].concat();
            let read = get_page(range.clone(), PAGE, revision);
            let page = self.bulk.txn(Txn::new().and_then([read])).await?.next_read()?;
            is_complete = page.len() < PAGE;
            entries.extend(page);
        }
        entries.sort_unstable_by_key(seq);
        Ok(StoredRoster { revision, declared, entries })
    }

    pub(super) fn snapshot_of(&self, roster: &Roster, stored: &StoredRoster) -> Snapshot {
        let keys = self.layout.roster(roster);
        let declared = stored.declared.as_ref().map(KeyValue::mod_revision);
        // The mod revision of a key identifies its content.
        let revisions = stored.entries.iter().map(|entry| (entry.key(), entry.mod_revision(), declared));
        let version = hashed_version(declared.is_some(), revisions);
        let entries = stored.entries.iter().filter_map(|entry| keys.parse(entry)).collect();
        Snapshot { version, declared: declared.is_some(), entries }
    }
}
