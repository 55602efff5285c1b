//! The position of an entry: which earlier entries block it.
//!
//! An entry with limit n is admitted when fewer than n conflicting entries are before it. So it is blocked as long as the
//! n nearest conflicting entries before it exist, whichever others leave.
//!
//! The read is local: the member answers from its own state, without a round trip to the others, which makes a hand-over
//! faster. That is sound, since an earlier entry that has left never comes back: where any state contains the entry and not
//! its blockers, the entry existed when the last of them had left. A state that lags behind can only delay the admission
//! until the member's watch reports the removal. That an entry is gone, however, is confirmed by a linearizable read.

use tooz_core::driver::support::not_held;
use tooz_core::driver::{Mode, Standing, Ticket};
use tooz_core::{Error, ErrorKind, Result};

use crate::client::{KeyValue, Txn, TxnOp, get_key, get_key_locally, nearest_first};
use crate::layout::{EntryKey, RosterKeys, revision, seq};
use crate::session::EtcdSession;

/// Up to this many blockers are watched and compared one by one; etcd takes 128 comparisons.
pub(super) const MAX_SINGLE_BLOCKERS: usize = 16;

/// The entries that block an entry, nearest first, as many as its limit; none if it is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blockers(pub(super) Vec<EntryKey>);

impl Blockers {
    /// Out of the conflicting entries before it, nearest first: all of them, or as many as the limit.
    pub(super) fn new(mut earlier: Vec<KeyValue>, limit: usize) -> Self {
        earlier.truncate(if earlier.len() < limit { 0 } else { limit });
        Self(earlier.into_iter().map(EntryKey::of).collect())
    }

    pub(super) fn standing(&self, ticket: Ticket) -> Standing {
        match self.0.first() {
            Some(nearest) => Standing::Waiting { ticket, blocked_by: nearest.seq },
            None => Standing::Admitted(ticket),
        }
    }
}

/// Reads the conflicting entries before the revision (all, without one): at most `limit` of them, nearest first.
pub(super) fn read_earlier(keys: &RosterKeys, mode: Mode, before: Option<i64>, limit: usize) -> Option<TxnOp> {
    keys.conflicting(mode).map(|range| nearest_first(&range, before, limit))
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
        let mut reads = vec![get_key_locally(&own.key)];
        reads.extend(read_earlier(keys, ticket.mode, Some(revision(own.seq)), limit));
        let is_known = (1..=MAX_SINGLE_BLOCKERS).contains(&known.0.len());
        let unchanged: Vec<_> = known.0.iter().chain([own]).map(EntryKey::exists).collect();
        let txn = match is_known {
            true => Txn::new().when(unchanged).or_else(reads),
            false => Txn::new().and_then(reads),
        };
        let mut answer = self.client.local_txn(txn).await?;
        if is_known && answer.succeeded {
            return Ok(known);
        }
        if answer.next_read()?.first().map(seq) != Some(own.seq) {
            return Err(self.why_gone(own).await?);
        }
        let earlier = if keys.conflicting(ticket.mode).is_some() { answer.next_read()? } else { Vec::new() };
        Ok(Blockers::new(earlier, limit))
    }

    /// Why a local read did not find the entry.
    async fn why_gone(&self, own: &EntryKey) -> Result<Error> {
        let mut answer = self.client.txn(Txn::new().and_then([self.fence.read(), get_key(&own.key)])).await?;
        self.fence.session_lives(&mut answer)?;
        match answer.next_read()?.first().map(seq) == Some(own.seq) {
            true => Ok(Error::new(ErrorKind::Unavailable, "the etcd member lags behind the others")),
            false => Ok(not_held()),
        }
    }

    /// The key of the session's own entry, if it may be in the roster.
    pub(super) fn own_key(&self, keys: &RosterKeys, ticket: &Ticket) -> Option<EntryKey> {
        let key = self.key_pool.key(ticket.nonce).filter(|key| keys.contains(key))?;
        Some(EntryKey { key, seq: ticket.seq })
    }
}
