//! Waiting for admission, after etcd's own lock recipe (`client/v3/concurrency`), for any limit:
//!
//! 1. Read the position of the entry. If nothing blocks it, it is admitted.
//! 2. Watch the blockers, which are its predecessor for limit 1, and the entry itself.
//! 3. Read again, since a blocker may have left before the watch began; then read after each event.
//!
//! So a release wakes one waiter, or n with limit n, and no waiter is admitted without a read after the blocker left.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::position::{Blocker, Position};
use crate::client::{KeyRange, Subscription};
use crate::layout::RosterKeys;
use crate::session::EtcdSession;

/// Up to this many blockers are watched one by one; above it, all conflicting entries are watched as one range.
const MAX_WATCHED_BLOCKERS: usize = 16;

impl EtcdSession {
    pub(crate) async fn wait_for_admission(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let keys = self.layout.roster(roster);
        let Some(key) = self.key_of(&keys, ticket) else {
            return self.fence.check_session().await.and(Err(not_held()));
        };
        let mut subscription: Option<Subscription> = None;
        loop {
            let Position::Behind(blockers) = self.position(&keys, &key, ticket).await? else { return Ok(()) };
            let watched = what_to_watch(&keys, &key, ticket, &blockers);
            match subscription.as_mut().filter(|subscription| subscription.watches(&watched)) {
                Some(subscription) => subscription.changed().await?,
                None => subscription = Some(self.watches.subscribe(watched).await?),
            }
        }
    }
}

fn what_to_watch(keys: &RosterKeys, own: &[u8], ticket: &Ticket, blockers: &[Blocker]) -> Vec<KeyRange> {
    let mut watched = vec![KeyRange::key(own)];
    match keys.conflicting(ticket.mode).filter(|_| blockers.len() > MAX_WATCHED_BLOCKERS) {
        Some(all) => watched.push(all),
        None => watched.extend(blockers.iter().map(|blocker| KeyRange::key(&*blocker.key))),
    }
    watched
}
