//! Waiting for admission, after etcd's own lock recipe (`client/v3/concurrency`), for any limit:
//!
//! 1. Watch the blockers that are known (for limit 1, the predecessor) and the entry itself.
//! 2. Read what blocks the entry, since a blocker may have left before the watch began. Without blockers, it is admitted.
//! 3. Read again after each event; watch anew where the blockers are others.
//!
//! So a release wakes one waiter, or n with limit n.
//!
//! The first waiter of a lock saves the last read, which makes a hand-over between two clients faster. It watches itself
//! and its only predecessor as one range, and etcd reports the events of one watch in order. Nothing else was before it and
//! earlier entries never come back. So if the predecessor was removed, and the waiter not before it nor in the same
//! transaction, the waiter was in the roster when its only blocker had left.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::position::MAX_SINGLE_BLOCKERS;
use crate::blockers::{Blockers, EntryKey};
use crate::client::{KeyEvent, KeyRange, Report};
use crate::layout::RosterKeys;
use crate::session::EtcdSession;

impl EtcdSession {
    pub(crate) async fn wait_for_admission(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let keys = self.layout.roster(roster);
        let Some(own) = self.own_key(&keys, ticket) else {
            return self.fence.check_session().await.and(Err(not_held()));
        };
        let mut known = self.key_pool.blockers(ticket.nonce);
        loop {
            let mut subscription =
                self.watches.subscribe(what_to_watch(&keys, ticket, &own, &known), Report::All).await?;
            let mut is_own_removed = false;
            loop {
                let before = known.clone();
                known = self.blockers(&keys, &own, ticket, known).await?;
                if known.nearest.is_empty() {
                    return Ok(());
                }
                if known != before {
                    break;
                }
                let events = subscription.events().await?;
                is_own_removed |= has_removal(&events, &own);
                if !is_own_removed && only_blocker(&known).is_some_and(|only| has_removal(&events, only)) {
                    return Ok(());
                }
            }
        }
    }
}

/// The only blocker of the first waiter.
fn only_blocker(known: &Blockers) -> Option<&EntryKey> {
    known.nearest.first().filter(|_| known.are_all && known.nearest.len() == 1)
}

fn what_to_watch(keys: &RosterKeys, ticket: &Ticket, own: &EntryKey, known: &Blockers) -> Vec<KeyRange> {
    if let Some(only) = only_blocker(known) {
        return vec![KeyRange::between(&own.key, &only.key)];
    }
    let mut watched = vec![KeyRange::key(&*own.key)];
    match keys.conflicting(ticket.mode).filter(|_| known.nearest.len() > MAX_SINGLE_BLOCKERS) {
        Some(all) => watched.push(all),
        None => watched.extend(known.nearest.iter().map(|blocker| KeyRange::key(&*blocker.key))),
    }
    watched
}

fn has_removal(events: &[KeyEvent], entry: &EntryKey) -> bool {
    events.iter().any(|event| matches!(event, KeyEvent::Deleted(removed) if removed.key() == entry.key))
}
