//! The position of an entry: which earlier entries block it.
//!
//! An entry with limit n is admitted when fewer than n conflicting entries are before it. So it is blocked as long as the
//! n nearest conflicting entries before it exist, whichever others leave.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Mode, Seq, Standing, Ticket};

use crate::client::{Compare, KeyValue, Txn, TxnOp, created_at, nearest_first};
use crate::layout::{RosterKeys, revision, seq};
use crate::session::EtcdSession;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Position {
    Admitted,
    /// Behind these conflicting entries, nearest first, as many as the limit.
    Behind(Vec<Blocker>),
}

/// An entry that blocks another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    pub(super) key: Vec<u8>,
    seq: Seq,
}

impl Position {
    /// The position behind the conflicting entries `earlier`, nearest first: all of them, or as many as the limit.
    pub(super) fn new(mut earlier: Vec<KeyValue>, limit: usize) -> Self {
        if earlier.len() < limit {
            return Self::Admitted;
        }
        earlier.truncate(limit);
        let blocker = |stored: KeyValue| Blocker { seq: seq(&stored), key: stored.into_key_value().0 };
        Self::Behind(earlier.into_iter().map(blocker).collect())
    }

    pub(super) fn standing(&self, ticket: Ticket) -> Standing {
        match self {
            Self::Behind(blockers) if !blockers.is_empty() => Standing::Waiting { ticket, blocked_by: blockers[0].seq },
            _ => Standing::Admitted(ticket),
        }
    }
}

/// Reads the conflicting entries before the revision (all, without one): at most `limit` of them, nearest first.
pub(super) fn read_earlier(keys: &RosterKeys, mode: Mode, before: Option<i64>, limit: usize) -> Option<TxnOp> {
    keys.conflicting(mode).map(|range| nearest_first(&range, before, limit))
}

/// True if the entry of the ticket is in the roster.
pub(super) fn is_in_roster(key: &[u8], ticket: &Ticket) -> Compare {
    created_at(key, revision(ticket.seq))
}

impl EtcdSession {
    /// Reads the position of an entry.
    ///
    /// # Errors
    /// `NotHeld` if the entry is gone, `SessionLost` if the session is.
    pub(super) async fn position(&self, keys: &RosterKeys, key: &[u8], ticket: &Ticket) -> Result<Position> {
        let limit = ticket.limit.get() as usize;
        let earlier = read_earlier(keys, ticket.mode, Some(revision(ticket.seq)), limit);
        // Without conflicts, some other read: etcd answers a transaction without reads from a state that may be old.
        let read = earlier.unwrap_or_else(|| self.fence.read());
        let txn = Txn::new().when([is_in_roster(key, ticket)]).and_then([read]).or_else([self.fence.read()]);
        let mut answer = self.client.txn(txn).await?;
        if !answer.succeeded {
            return self.fence.session_lives(&mut answer).and(Err(not_held()));
        }
        match keys.conflicting(ticket.mode) {
            Some(_) => Ok(Position::new(answer.next_read()?, limit)),
            None => Ok(Position::Admitted),
        }
    }

    /// The key of the session's own entry, if it may be in the roster.
    pub(super) fn key_of(&self, keys: &RosterKeys, ticket: &Ticket) -> Option<Vec<u8>> {
        self.key_pool.key(ticket.nonce).filter(|key| keys.contains(key))
    }
}
