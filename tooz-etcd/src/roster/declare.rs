//! Declaring a roster, retracting it, and the lists of rosters and topics.
//!
//! A list of names in use skips from one name to the next: a request reads the first keys of the range, and the next
//! request begins behind all keys of the last name that it found. Each request finds at least one name. etcd also counts
//! the keys up to the end of the range, in memory and without reading them.

use std::convert::Infallible;

use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, NewName, Roster};
use tooz_core::{Name, Result};

use crate::client::{Filter, GetOptions, KeyValue, absent, delete, exists, get_key, is_empty, put};
use crate::layout::{NamePrefix, declared_name};
use crate::session::EtcdSession;

impl EtcdSession {
    pub(crate) async fn declare_roster(&self, roster: &Roster) -> Result<bool> {
        let key = self.layout.declared(roster);
        let answer = self.fence.txn(None, &[absent(&key)], &[put(&key, b"", None)], &[]).await?;
        Ok(answer.succeeded)
    }

    pub(crate) async fn retract_roster(&self, roster: &Roster) -> Result<()> {
        let key = self.layout.declared(roster);
        let empty = is_empty(self.layout.roster(roster).entries());
        let mut answer = self.fence.txn(None, &[exists(&key), empty], &[delete(&key)], &[get_key(&key)]).await?;
        if answer.succeeded {
            return Ok(());
        }
        Err(if answer.next_read()?.is_empty() { group_not_created() } else { group_not_empty() })
    }

    pub(crate) async fn declared_rosters(&self, kind: Kind) -> Result<Vec<Name>> {
        let found = self.client.read(self.layout.all_declared(kind).get_keys()).await?;
        let mut names: Vec<_> = found.iter().filter_map(declared_name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// One watch of the whole namespace: new names are new keys.
    pub(crate) async fn watch_new_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        let mut subscription = self.watches.subscribe(vec![self.layout.all()], Some(Filter::NoDelete)).await?;
        let name = |stored: &KeyValue| self.layout.new_name(stored.key()).filter(|_| stored.version() == 1);
        added(NewName::Any);
        loop {
            subscription.events().await?.iter().filter_map(name).for_each(added);
        }
    }

    /// At most `limit` of the names that have keys, in the order of the keys.
    pub(crate) async fn read_names(&self, names: &NamePrefix, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let (mut found, mut range) = (Vec::new(), names.behind(after));
        loop {
            let first = GetOptions::new().with_keys_only().with_limit(limit as i64);
            let keys = self.bulk.read(range.clone().get(first)).await?;
            for name in keys.iter().filter_map(|stored| names.name_of(stored.key())) {
                if found.last() != Some(&name) {
                    found.push(name);
                }
                if found.len() == limit {
                    return Ok(found);
                }
            }
            match keys.last() {
                Some(last) if keys.len() == limit => range.start = names.next_start(last.key()),
                _ => return Ok(found),
            }
        }
    }
}
