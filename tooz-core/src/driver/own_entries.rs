//! The entries of a session, as its client knows them: a removal by another client is a loss, its own removal is not.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use super::Nonce;
use super::support::lock;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// A request to enter was sent.
    Entering,
    /// The server has confirmed the entry.
    Entered,
    /// A request to leave was sent.
    Leaving,
}

/// The entries that the client has requested and that have not left, as far as it knows.
///
/// A driver with push calls [`entering`](Self::entering) and [`leaving`](Self::leaving) before it sends a request. When
/// the backend announces a removal, it reports a loss if [`removed`](Self::removed) returns true. After a reconnection it
/// compares [`confirmed`](Self::confirmed) with the entries on the server. So each loss is reported once.
#[derive(Debug, Default)]
pub struct OwnEntries(Mutex<HashMap<Nonce, State>>);

impl OwnEntries {
    /// Records an entry before the request is sent, so that no notification about it is too early.
    pub fn entering(&self, nonce: Nonce) {
        lock(&self.0).entry(nonce).or_insert(State::Entering);
    }

    /// Records that the server has confirmed the entry.
    pub fn entered(&self, nonce: Nonce) {
        if let Some(state @ State::Entering) = lock(&self.0).get_mut(&nonce) {
            *state = State::Entered;
        }
    }

    /// Records that the client removes the entry: from now on its absence is no loss.
    pub fn leaving(&self, nonce: Nonce) {
        lock(&self.0).insert(nonce, State::Leaving);
    }

    /// Records that an entry was removed, and returns whether that is a loss.
    pub fn removed(&self, nonce: Nonce) -> bool {
        matches!(lock(&self.0).remove(&nonce), Some(State::Entering | State::Entered))
    }

    /// The entries that the server has confirmed.
    pub fn confirmed(&self) -> HashSet<Nonce> {
        let entries = lock(&self.0);
        entries.iter().filter(|(_, state)| **state == State::Entered).map(|(nonce, _)| *nonce).collect()
    }

    /// Whether the client has requested the entry, and it has not left, as far as the client knows.
    pub fn contains(&self, nonce: Nonce) -> bool {
        lock(&self.0).contains_key(&nonce)
    }
}
