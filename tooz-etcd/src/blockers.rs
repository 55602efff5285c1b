//! Which earlier entries block an entry.
//!
//! An entry with limit n is admitted when fewer than n conflicting entries are before it. So it is blocked as long as the
//! n nearest conflicting entries before it exist, whichever others leave.

use tooz_core::driver::{Seq, Standing, Ticket};

use crate::client::{Compare, KeyValue, created_at};
use crate::layout::{revision, seq};

/// The key of an entry together with its seq, since the next entry with the same key is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryKey {
    pub(crate) key: Vec<u8>,
    pub(crate) seq: Seq,
}

/// The entries that block an entry, nearest first, as many as its limit; none if it is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blockers {
    pub(crate) nearest: Vec<EntryKey>,
    /// Whether no other conflicting entries are before the entry.
    pub(crate) are_all: bool,
}

impl EntryKey {
    pub(crate) fn of(stored: KeyValue) -> Self {
        Self { seq: seq(&stored), key: stored.into_key_value().0 }
    }

    /// True if the entry is in its roster.
    pub(crate) fn exists(&self) -> Compare {
        created_at(&self.key, revision(self.seq))
    }
}

impl Blockers {
    /// Chooses among the conflicting entries before it, nearest first: all of them, or at least one more than the limit.
    pub(crate) fn new(mut earlier: Vec<KeyValue>, limit: usize) -> Self {
        let are_all = earlier.len() <= limit;
        earlier.truncate(if earlier.len() < limit { 0 } else { limit });
        Self { nearest: earlier.into_iter().map(EntryKey::of).collect(), are_all }
    }

    pub(crate) fn standing(&self, ticket: Ticket) -> Standing {
        match self.nearest.first() {
            Some(nearest) => Standing::Waiting { ticket, blocked_by: nearest.seq },
            None => Standing::Admitted(ticket),
        }
    }
}
