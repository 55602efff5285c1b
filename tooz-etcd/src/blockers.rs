//! What blocks an entry, and what its session watches until it is admitted.
//!
//! An entry with limit n is admitted when fewer than n conflicting entries are before it. Earlier entries never come back, so
//! that number only falls.
//!
//! - **Next:** exactly n entries are before it. It is admitted when any of them leaves, so the session watches all of them.
//! - **Behind its predecessor,** the nearest entry: more than n entries are before it, and the predecessor has the same
//!   limit, so it waits too. The session watches the predecessor only. When that one is admitted, it rewrites its key, and
//!   its follower is the next one. With limit 1, the predecessor need not do so, since it has to leave anyway.
//! - **Otherwise** the entry is blocked as long as the n nearest exist, so the session watches these. This happens only if
//!   clients do not agree on the limit.

use std::num::NonZeroU32;

use tooz_core::driver::{Mode, Seq};

use crate::client::{Compare, KeyValue, created_at};
use crate::layout::{RosterKeys, revision, seq};

/// The key of an entry together with its seq, since the next entry with the same key is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryKey {
    pub(crate) key: Vec<u8>,
    pub(crate) seq: Seq,
}

/// The entries that a waiter watches, nearest first; none if it is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blockers {
    pub(crate) watched: Vec<EntryKey>,
    /// Whether no other conflicting entries are before the waiter.
    pub(crate) is_next: bool,
    /// When the nearest one was last written.
    pub(crate) written: i64,
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
    /// Chooses among the conflicting entries before one of `mode`, nearest first: all of them, or one more than the limit.
    pub(crate) fn new(keys: &RosterKeys, mut earlier: Vec<KeyValue>, mode: Mode, limit: NonZeroU32) -> Self {
        let count = limit.get() as usize;
        let Some(nearest) = earlier.first().filter(|_| earlier.len() >= count) else { return Self::default() };
        let (is_next, written) = (earlier.len() == count, nearest.mod_revision());
        let is_behind = count == 1 || (mode == Mode::Exclusive && keys.is_exclusive(nearest.key(), limit));
        earlier.truncate(if is_behind && !is_next { 1 } else { count });
        Self { watched: earlier.into_iter().map(EntryKey::of).collect(), is_next, written }
    }

    /// Of a waiter that may be the next one.
    pub(crate) fn unknown() -> Self {
        Self { is_next: true, ..Self::default() }
    }

    pub(crate) fn is_admitted(&self) -> bool {
        *self == Self::default()
    }

    /// The nearest one; `None` if the entry is admitted.
    pub(crate) fn nearest(&self) -> Option<Seq> {
        self.watched.first().map(|nearest| nearest.seq)
    }
}
