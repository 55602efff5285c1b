//! Waiting for admission, after etcd's own lock recipe (`client/v3/concurrency`), for any limit:
//!
//! 1. Watch the blockers that are known (for limit 1, the predecessor) and the entry itself.
//! 2. Read what blocks the entry, since a blocker may have left before the watch began. Without blockers, it is admitted.
//! 3. Read again after each event; watch anew where the blockers are others.
//!
//! So a release wakes one waiter, or n with limit n, and a waiter is admitted only by a read after the blocker left.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::position::{Blockers, MAX_SINGLE_BLOCKERS};
use crate::client::KeyRange;
use crate::session::EtcdSession;

impl EtcdSession {
    pub(crate) async fn wait_for_admission(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let keys = self.layout.roster(roster);
        let Some(own) = self.own_key(&keys, ticket) else {
            return self.fence.check_session().await.and(Err(not_held()));
        };
        let mut known = Blockers(self.key_pool.blockers(ticket.nonce));
        loop {
            // Many blockers are watched as one range.
            let mut watched = vec![KeyRange::key(&*own.key)];
            match keys.conflicting(ticket.mode).filter(|_| known.0.len() > MAX_SINGLE_BLOCKERS) {
                Some(all) => watched.push(all),
                None => watched.extend(known.0.iter().map(|blocker| KeyRange::key(&*blocker.key))),
            }
            let mut subscription = self.watches.subscribe(watched).await?;
            loop {
                let before = known.clone();
                known = self.blockers(&keys, &own, ticket, known).await?;
                if known.0.is_empty() {
                    return Ok(());
                }
                if known != before {
                    break;
                }
                subscription.changed().await?;
            }
        }
    }
}
