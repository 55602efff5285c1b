//! Reading what blocks an entry.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Mode, Ticket};

use crate::blockers::{Blockers, EntryKey};
use crate::client::{Txn, TxnOp, get_key, nearest_first};
use crate::layout::{RosterKeys, revision, seq};
use crate::session::EtcdSession;

/// Up to this many blockers are watched and compared one by one; etcd takes 128 comparisons.
pub(super) const MAX_SINGLE_BLOCKERS: usize = 16;

/// Reads the conflicting entries before the revision (all, without one), nearest first: one more than the limit, to see
/// whether these are all.
pub(super) fn read_earlier(keys: &RosterKeys, mode: Mode, before: Option<i64>, limit: usize) -> Option<TxnOp> {
    keys.conflicting(mode).map(|range| nearest_first(&range, before, limit.saturating_add(1)))
}

impl EtcdSession {
    /// Reads what blocks an entry. As long as the `known` blockers exist, etcd need not read the queue.
    ///
    /// # Errors
    /// `NotHeld` if the entry is gone, `SessionLost` if the session is.
    pub(super) async fn blockers(
        &self,
        keys: &RosterKeys,
        own: &EntryKey,
        ticket: &Ticket,
        known: Blockers,
    ) -> Result<Blockers> {
        let limit = ticket.limit.get() as usize;
        let mut reads = vec![self.fence.read(), get_key(&own.key)];
        reads.extend(read_earlier(keys, ticket.mode, Some(revision(own.seq)), limit));
        let is_known = (1..=MAX_SINGLE_BLOCKERS).contains(&known.nearest.len());
        let unchanged: Vec<_> = known.nearest.iter().chain([own]).map(EntryKey::exists).collect();
        let txn = match is_known {
            // Some read, since etcd answers a transaction without reads from a state that may be old.
            true => Txn::new().when(unchanged).and_then([self.fence.read()]).or_else(reads),
            false => Txn::new().and_then(reads),
        };
        let mut answer = self.client.txn(txn).await?;
        if is_known && answer.succeeded {
            return Ok(known);
        }
        self.fence.session_lives(&mut answer)?;
        if answer.next_read()?.first().map(seq) != Some(own.seq) {
            return Err(not_held());
        }
        let earlier = if keys.conflicting(ticket.mode).is_some() { answer.next_read()? } else { Vec::new() };
        Ok(Blockers::new(earlier, limit))
    }

    /// The key of the session's own entry, if it may be in the roster.
    pub(super) fn own_key(&self, keys: &RosterKeys, ticket: &Ticket) -> Option<EntryKey> {
        let key = self.key_pool.key(ticket.nonce).filter(|key| keys.contains(key))?;
        Some(EntryKey { key, seq: ticket.seq })
    }
}
