//! The durable existence of rosters: declaring, retracting and listing them; and the names in use.

use std::convert::Infallible;

use futures_util::future::{select_all, try_join_all};
use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, NewName, Roster};
use tooz_core::{Name, Result};

use super::follow::RedisFollower;
use crate::client::{DECLARE, NAMES, RETRACT};
use crate::layout::{escape, unescape};
use crate::session::RedisSession;

impl RedisSession {
    pub(crate) async fn declare_roster(&self, roster: &Roster) -> Result<bool> {
        let (key, name) = (self.layout().roster(roster), escape(roster.name.as_bytes()));
        let set = self.layout().declared(key.shard, roster.kind);
        self.run(&DECLARE, &key, &[set.as_bytes(), name.as_bytes()]).await?.is_done()
    }

    pub(crate) async fn retract_roster(&self, roster: &Roster) -> Result<()> {
        let (key, name) = (self.layout().roster(roster), escape(roster.name.as_bytes()));
        let set = self.layout().declared(key.shard, roster.kind);
        let reply = self.run(&RETRACT, &key, &[set.as_bytes(), name.as_bytes()]).await?;
        match reply.status() {
            "UNDECLARED" => Err(group_not_created()),
            "NOT_EMPTY" => Err(group_not_empty()),
            _ => reply.is_done().map(drop),
        }
    }

    pub(crate) async fn declared_rosters(&self, kind: Kind) -> Result<Vec<Name>> {
        self.end.check()?;
        let sets = self.layout().shards().map(|shard| self.layout().declared(shard, kind));
        let members = sets.map(|set| async move { self.client.connections.members(&set).await });
        let members = try_join_all(members).await?.concat();
        let mut names = members.iter().map(|name| unescape(name)).collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Watches the names of all shards. The watch has begun when each of them is followed.
    pub(crate) async fn watch_new_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        let mut shards: Vec<_> = self.layout().shards().map(|shard| RedisFollower::of_new_names(self, shard)).collect();
        self.end.until_end(try_join_all(shards.iter_mut().map(RedisFollower::next_name))).await?;
        added(NewName::Any);
        loop {
            let next = select_all(shards.iter_mut().map(|shard| Box::pin(shard.next_name())));
            added(self.end.until_end(async { next.await.0 }).await?);
        }
    }

    /// One page of the names in use of a kind of roster or of topics, in the order of their escaped forms.
    pub(crate) async fn read_names(&self, kind: &str, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let after = after.map(|name| escape(name.as_bytes())).unwrap_or_default();
        let greatest = limit.to_string();
        let args = [kind.as_bytes(), after.as_bytes(), greatest.as_bytes()];
        let pages = self.layout().shards().map(|shard| async move {
            let mut page = self.run(&NAMES, &self.layout().names(shard), &args).await?;
            Ok(std::iter::from_fn(move || page.bytes()).collect::<Vec<_>>())
        });
        let mut names = try_join_all(pages).await?.concat();
        names.sort_unstable();
        names.iter().take(limit).map(|name| unescape(name)).collect()
    }
}
