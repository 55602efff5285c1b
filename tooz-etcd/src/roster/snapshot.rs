//! Reading a roster: one range read, and a watch on the same range for the next version.

use tooz_core::Result;
use tooz_core::driver::support::{hashed_version, session_lost};
use tooz_core::driver::{Roster, Snapshot, Version};

use crate::client::{KeyRange, Txn, get, get_oldest_first};
use crate::session::EtcdSession;

impl EtcdSession {
    pub(crate) async fn newer_snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let watched = vec![self.layout.roster(roster).entries(), KeyRange::key(self.layout.declared(roster))];
        let read = || async {
            let snapshot = self.read_snapshot(roster).await?;
            Ok(Some(snapshot).filter(|snapshot| newer_than != Some(snapshot.version)))
        };
        self.watches.read_until(watched, read).await
    }

    async fn read_snapshot(&self, roster: &Roster) -> Result<Snapshot> {
        let keys = self.layout.roster(roster);
        let reads = [get_oldest_first(keys.entries()), get(KeyRange::key(self.layout.declared(roster)))];
        let mut answer = self.bulk.txn(Txn::new().when([self.fence.session_exists()]).and_then(reads)).await?;
        if !answer.succeeded {
            return Err(session_lost());
        }
        let stored = answer.next_read()?;
        let declared = answer.next_read()?.pop().map(|declared| declared.mod_revision());
        // The mod revision of a key identifies its content.
        let revisions = stored.iter().map(|stored| (stored.key(), stored.mod_revision(), declared));
        let version = hashed_version(declared.is_some(), revisions);
        let entries = stored.iter().filter_map(|stored| keys.parse(stored)).collect();
        Ok(Snapshot { version, declared: declared.is_some(), entries })
    }
}
