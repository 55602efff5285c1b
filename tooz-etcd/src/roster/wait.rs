//! Waiting for admission, after etcd's own lock recipe (`client/v3/concurrency`), for any limit. [`Blockers`] says what a
//! waiter watches.
//!
//! 1. Watch what is known to block the entry.
//! 2. Read what blocks it, since that may have changed before the watch began. Without blockers, it is admitted.
//! 3. Wait for an event, and read again; watch anew where the blockers are others.
//!
//! So a release wakes one waiter: the next one. If its limit is greater than 1, it rewrites its key, which wakes the waiter
//! behind it, the next one from then on.
//!
//! The next waiter need not read again, which makes a hand-over faster. One watch reports all removals in the queue, in
//! order. So if a blocker was removed, and the waiter not before it nor in the same transaction, the waiter was in the roster
//! when its last blocker had left.

use tokio::task::JoinSet;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};
use tooz_core::{Error, ErrorKind, Result};

use crate::blockers::{Blockers, EntryKey};
use crate::client::{Filter, KeyRange, Subscription, is_deleted};
use crate::layout::RosterKeys;
use crate::session::EtcdSession;

impl EtcdSession {
    /// Waits in a task of its own, since the waiters behind this one must not depend on a caller that does not poll it.
    pub(crate) async fn wait_in_background(&self, roster: &Roster, ticket: Ticket) -> Result<()> {
        let (session, roster, mut task) = (self.clone(), roster.clone(), JoinSet::new());
        task.spawn(async move { session.wait_for_admission(&roster, &ticket).await });
        let outcome = task.join_next().await.and_then(std::result::Result::ok);
        outcome.unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, "the runtime of the waiter has ended")))
    }

    async fn wait_for_admission(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let keys = self.layout.roster(roster);
        let Some((own, mut known)) = self.own_key(&keys, ticket) else {
            return self.fence.check_session().await.and(Err(not_held()));
        };
        if known.is_admitted() {
            known = self.blockers(&keys, &own, ticket, known).await?;
        }
        while !known.is_admitted() {
            let watched = what_to_watch(&keys, &own, &known);
            let mut subscription = self.watches.subscribe(watched.0.clone(), watched.1).await?;
            let is_right = |known: &Blockers| !known.is_admitted() && watched == what_to_watch(&keys, &own, known);
            while is_right(&known) {
                known = self.blockers(&keys, &own, ticket, known).await?;
                if is_right(&known) {
                    known = after_change(&mut subscription, &own, known).await?;
                }
            }
        }
        self.tell_next(&own, ticket).await
    }
}

fn what_to_watch(keys: &RosterKeys, own: &EntryKey, known: &Blockers) -> (Vec<KeyRange>, Option<Filter>) {
    match &known.watched[..] {
        [predecessor] if !known.is_next => (vec![KeyRange::key(&*own.key), KeyRange::key(&*predecessor.key)], None),
        _ => (vec![keys.queue()], Some(Filter::NoPut)),
    }
}

/// Waits for an event that concerns the waiter. Returns what is known then: nothing blocks it, or what has to be read again.
async fn after_change(subscription: &mut Subscription, own: &EntryKey, known: Blockers) -> Result<Blockers> {
    loop {
        let events = subscription.events().await?;
        let of_entry = |entry: &EntryKey| events.iter().find(|event| event.key() == entry.key).map(is_deleted);
        if of_entry(own) == Some(true) {
            return Ok(known);
        }
        match known.watched.iter().find_map(of_entry) {
            Some(true) if known.is_next => return Ok(Blockers::default()),
            Some(true) => return Ok(known),
            // What was read may be newer than this event, so the next read must not rely on it.
            Some(false) => return Ok(Blockers::unknown()),
            None => {}
        }
    }
}
