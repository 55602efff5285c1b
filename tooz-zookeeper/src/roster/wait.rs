//! Waiting for admission. A release wakes the waiter that it admits, and no other.
//!
//! - With one permit, a waiter watches the nearest conflicting entry before its own, as in
//!   [ZooKeeper's recipe for locks](https://zookeeper.apache.org/doc/current/recipes.html#sc_recipes_Locks).
//! - With several permits, only the first waiter watches the roster, since any holder may leave. The others watch the waiter
//!   before their own entry. When a waiter is admitted, it announces that by a change of its entry, so the next one becomes the
//!   first.
//! - A waiter whose watch has fired lists the roster again. If fewer conflicting entries than its limit are left before its
//!   own, it is admitted; otherwise it watches again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::queue::Queue;
use super::rosters::Rosters;
use crate::client::{Client, Watch, any_fired};
use crate::error::{Answer, Fault};
use crate::layout::{UNCHANGED, child};

/// The pause before an announcement is repeated.
const RETRY: Duration = Duration::from_millis(200);

impl Rosters {
    pub(crate) async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Answer<()> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        let (wakeup, watch) = self.own.waiting(ticket.nonce).ok_or_else(not_held)?;
        let mut watches = Vec::from_iter(watch);
        loop {
            if !watches.is_empty() {
                let is_gone = || self.own.placed(ticket.nonce).is_none();
                any_fired(&wakeup, || is_gone() || watches.iter().any(Watch::has_fired)).await;
            }
            match self.watch_turn(&parent, ticket, &wakeup).await? {
                Some(new) => watches = new,
                None => return Ok(()),
            }
        }
    }

    /// Returns `None` if the entry is admitted, and no watches if the roster has changed meanwhile.
    async fn watch_turn(&self, roster: &str, ticket: &Ticket, wakeup: &Arc<Notify>) -> Answer<Option<Vec<Watch>>> {
        let (queue, of_roster) = if ticket.limit.get() == 1 {
            (self.list(roster).await?, None)
        } else {
            let listed = self.client.children_watched(roster, wakeup).await?;
            let (names, watch) = listed.ok_or_else(not_held)?;
            (Queue::new(roster, names), Some(watch))
        };
        let index = queue.find(ticket.nonce).ok_or_else(not_held)?;
        let blockers = queue.blockers(index, ticket.mode, ticket.limit);
        if blockers.is_empty() {
            self.announce(roster, &queue, index);
            return Ok(None);
        }
        let Some(listed) = Queue::to_watch(&blockers, ticket.mode, ticket.limit) else {
            return Ok(Some(Vec::from_iter(of_roster)));
        };
        Ok(Some(match self.client.data_watched(&child(roster, &listed.name), wakeup).await? {
            None => Vec::new(),
            Some((_, stat, watch)) if stat.version == UNCHANGED => vec![watch],
            // It may have announced its admission since the listing. The event that admitted it has fired the watch on the roster.
            Some((_, _, watch)) => of_roster.into_iter().chain([watch]).collect(),
        }))
    }

    /// Tells a later entry that may wait for that, in the background, that the entry at `index` is admitted.
    pub(super) fn announce(&self, roster: &str, queue: &Queue, index: usize) {
        if !queue.is_watched(index) {
            return;
        }
        let own = &queue.entries()[index];
        let (client, path) = (self.client.clone(), child(roster, &own.name));
        let value = self.own.placed(own.entry.nonce).and_then(|placed| placed.value);
        self.client.spawn(async move {
            // Another failure means that the entry or the session has ended, which wakes the later entry as well.
            while let Err(fault) = change_version(&client, &path, value.clone()).await
                && fault.is_retryable()
            {
                sleep(RETRY).await;
            }
        });
    }
}

/// Changes the data version of an entry that entered with `value`, if that is known. Its value stays the same.
async fn change_version(client: &Client, path: &str, mut value: Option<Arc<[u8]>>) -> Answer<()> {
    let mut version = UNCHANGED;
    loop {
        if let Some(value) = value {
            match client.set_data(path, &value, Some(version)).await {
                // The value was replaced before or at this moment, or this is a repetition.
                Err(Fault::BadVersion) => {}
                changed => return changed.map(drop),
            }
        }
        let (data, stat) = client.data(path).await?;
        (value, version) = (Some(data.into()), stat.version);
    }
}
