//! Waiting for admission, by [ZooKeeper's recipe for locks](https://zookeeper.apache.org/doc/current/recipes.html#sc_recipes_Locks),
//! which wakes only the waiters that a release may admit.
//!
//! - A waiter watches the nearest conflicting entries before its own, as many as its limit: one for a mutex.
//! - When one of them is gone, the waiter lists the roster again. If fewer conflicting entries than its limit are left before its
//!   own, it is admitted; otherwise it watches again.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::rosters::Rosters;
use crate::client::{Watch, any_fired};
use crate::error::Answer;
use crate::layout::child;

impl Rosters {
    pub(crate) async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Answer<()> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        let (wakeup, predecessor) = self.own.waiting(ticket.nonce).ok_or_else(not_held)?;
        let mut predecessors = Vec::from_iter(predecessor);
        loop {
            if !predecessors.is_empty() {
                let is_gone = || self.own.placed(ticket.nonce).is_none();
                any_fired(&wakeup, || is_gone() || predecessors.iter().any(Watch::has_fired)).await;
            }
            match self.watch_predecessors(&parent, ticket, &wakeup).await? {
                Some(watches) => predecessors = watches,
                None => return Ok(()),
            }
        }
    }

    /// Returns `None` if the entry is admitted, and no watches if the roster has changed meanwhile.
    ///
    /// With a limit above one, any of the watched entries may be the one whose leave admits the waiter. Entries before those
    /// need no watch.
    async fn watch_predecessors(
        &self,
        roster: &str,
        ticket: &Ticket,
        wakeup: &Arc<Notify>,
    ) -> Answer<Option<Vec<Watch>>> {
        let queue = self.list(roster).await?;
        let index = queue.find(ticket.nonce).ok_or_else(not_held)?;
        let blockers = queue.blockers(index, ticket.mode, ticket.limit);
        if blockers.is_empty() {
            return Ok(None);
        }
        let nearest = blockers.into_iter().take(ticket.limit.get() as usize);
        let watching = nearest.map(|listed| {
            let path = child(roster, &listed.name);
            async move { self.client.data_watched(&path, wakeup).await }
        });
        let mut watches = Vec::new();
        for answer in join_all(watching).await {
            match answer? {
                Some((_, _, watch)) => watches.push(watch),
                None => return Ok(Some(Vec::new())),
            }
        }
        Ok(Some(watches))
    }
}
