//! The history of a namespace: whether the server still has the data that the driver has seen.
//!
//! - The first session in a namespace gives its history a random name, which FLUSHALL and a restart without the data remove.
//! - The sequence of the namespace only rises. If its last number is smaller than one that the driver has seen, the server
//!   was restored from an older copy, or has lost confirmed writes in a failover. The history then gets another name, so
//!   that other drivers learn it also after the sequence has passed their numbers.
//! - The server remembers the latest sessions that were opened. If it does not know one of the driver's, its data is older.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tooz_core::driver::support::lock;

/// What one driver knows of the history of one namespace.
#[derive(Debug, Default)]
pub(crate) struct History {
    name: Mutex<Option<String>>,
    greatest: AtomicU64,
    number: AtomicU64,
    opening: Mutex<Option<Opening>>,
}

/// A session that the driver has opened, as the server remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) number: u64,
    pub(crate) session: String,
}

/// What a new session has read.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// The name of the history.
    pub(crate) name: String,
    /// The last number of the sequence.
    pub(crate) last: u64,
    pub(crate) opening: Opening,
    /// Whether the server knows the earlier opening that the session has named.
    pub(crate) knows_earlier: bool,
}

impl History {
    /// The greatest number of the sequence that the driver has seen.
    pub(crate) fn greatest(&self) -> u64 {
        self.greatest.load(Ordering::SeqCst)
    }

    /// How many other histories the driver has met.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    /// Records a number of the sequence.
    pub(crate) fn saw(&self, number: u64) {
        self.greatest.fetch_max(number, Ordering::SeqCst);
    }

    /// The latest session that the driver has opened.
    pub(crate) fn latest_opening(&self) -> Option<Opening> {
        lock(&self.opening).clone()
    }

    /// Records what a new session has read, after a request that was sent when `greatest` was the greatest number. Returns
    /// the number of the history.
    pub(crate) fn opened(&self, opened: Opened, greatest: u64) -> u64 {
        let Opened { name, last, opening, knows_earlier } = opened;
        let mut known = lock(&self.name);
        let is_other = known.as_ref().is_some_and(|known| *known != name) || last < greatest || !knows_earlier;
        *known = Some(name);
        *lock(&self.opening) = Some(opening);
        if is_other {
            self.is_another(last);
        }
        self.saw(last);
        self.number()
    }

    /// Records that the history is another one, whose last number is `last`.
    pub(crate) fn is_another(&self, last: u64) {
        self.greatest.store(last, Ordering::SeqCst);
        self.number.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_or_a_smaller_number_is_another_history() {
        let history = History::default();
        let open_as = |name: &str, last, knows_earlier| {
            let (name, opening) = (name.to_owned(), Opening { number: 1, session: "s".to_owned() });
            history.opened(Opened { name, last, opening, knows_earlier }, history.greatest())
        };
        let open = |name: &str, last| open_as(name, last, true);
        assert_eq!([open("a", 5), open("a", 5), open("a", 9)], [0, 0, 0]);
        assert_eq!([open("a", 7), open("a", 8)], [1, 1]);
        assert_eq!([open("b", 20), open("b", 20)], [2, 2]);
        assert_eq!([open_as("b", 30, false), open("b", 30)], [3, 3]);
    }
}
