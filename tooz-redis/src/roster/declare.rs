//! The durable existence of rosters: declaring, retracting and listing them; and the names in use.

use std::convert::Infallible;

use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, NewName, Roster};
use tooz_core::{Name, Result};

use super::follow::RedisFollower;
use crate::client::{DECLARE, NAMES, RETRACT};
use crate::layout::{escape, unescape};
use crate::session::RedisSession;

impl RedisSession {
    pub(crate) async fn declare_roster(&self, roster: &Roster) -> Result<bool> {
        let (set, name) = (self.layout.declared(roster.kind), escape(roster.name.as_bytes()));
        self.run(&DECLARE, &self.layout.roster(roster), &[set.as_bytes(), name.as_bytes()]).await?.is_done()
    }

    pub(crate) async fn retract_roster(&self, roster: &Roster) -> Result<()> {
        let (set, name) = (self.layout.declared(roster.kind), escape(roster.name.as_bytes()));
        let reply = self.run(&RETRACT, &self.layout.roster(roster), &[set.as_bytes(), name.as_bytes()]).await?;
        match reply.status() {
            "UNDECLARED" => Err(group_not_created()),
            "NOT_EMPTY" => Err(group_not_empty()),
            _ => reply.is_done().map(drop),
        }
    }

    pub(crate) async fn declared_rosters(&self, kind: Kind) -> Result<Vec<Name>> {
        self.state.check()?;
        let members = self.client.connections.members(&self.layout.declared(kind)).await?;
        let mut names = members.iter().map(|name| unescape(name)).collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) async fn watch_new_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        let mut names = RedisFollower::of_new_names(self);
        loop {
            added(self.state.until_end(names.next_name()).await?);
        }
    }

    /// One page of the names in use of a kind of roster or of topics, in the order of their escaped forms.
    pub(crate) async fn read_names(&self, kind: &str, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let after = after.map(|name| escape(name.as_bytes())).unwrap_or_default();
        let limit = limit.to_string();
        let mut reply =
            self.run(&NAMES, &self.layout.names(), &[kind.as_bytes(), after.as_bytes(), limit.as_bytes()]).await?;
        std::iter::from_fn(|| reply.bytes()).map(|name| unescape(&name)).collect()
    }
}
