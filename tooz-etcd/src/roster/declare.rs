//! Declaring a roster, retracting it, and the list of those that are declared.

use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, Roster};
use tooz_core::{Name, Result};

use crate::client::{Txn, absent, delete, exists, get_key, get_keys, is_empty, put};
use crate::layout::declared_name;
use crate::session::EtcdSession;

impl EtcdSession {
    pub(crate) async fn declare_roster(&self, roster: &Roster) -> Result<bool> {
        let key = self.layout.declared(roster);
        let answer = self.fence.txn(vec![absent(&key)], vec![put(&key, b"", None)], Vec::new()).await?;
        Ok(answer.succeeded)
    }

    pub(crate) async fn retract_roster(&self, roster: &Roster) -> Result<()> {
        let key = self.layout.declared(roster);
        let empty = is_empty(self.layout.roster(roster).entries());
        let mut answer = self.fence.txn(vec![exists(&key), empty], vec![delete(&key)], vec![get_key(&key)]).await?;
        if answer.succeeded {
            return Ok(());
        }
        Err(if answer.next_read()?.is_empty() { group_not_created() } else { group_not_empty() })
    }

    pub(crate) async fn declared_rosters(&self, kind: Kind) -> Result<Vec<Name>> {
        let read = get_keys(self.layout.all_declared(kind));
        let found = self.client.txn(Txn::new().and_then([read])).await?.next_read()?;
        let mut names = found.iter().filter_map(declared_name).collect::<Vec<_>>();
        names.sort_unstable();
        Ok(names)
    }
}
