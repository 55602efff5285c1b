//! The history of a namespace: whether the server still has the data that the driver has seen.
//!
//! - The first session in a namespace gives its history a random name. A server that was emptied no longer has it.
//! - The sequence of the namespace only rises. Its last number may be smaller than one that the driver has seen. Then the
//!   server was restored from an older copy, or has lost confirmed writes in a failover.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::support::lock;

/// What one driver knows of the history of one namespace.
#[derive(Debug, Default)]
pub struct History {
    name: Mutex<Option<String>>,
    greatest: AtomicU64,
    number: AtomicU64,
}

impl History {
    /// The greatest number of the sequence that the driver has seen.
    pub fn greatest(&self) -> u64 {
        self.greatest.load(Ordering::SeqCst)
    }

    /// The number of the present history: how often the driver has found a new one.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    /// Records a number of the sequence.
    pub fn saw(&self, number: u64) {
        self.greatest.fetch_max(number, Ordering::SeqCst);
    }

    /// Records what a new session has read: the name of the history, and the last number of the sequence. `greatest` is
    /// what [`greatest`](Self::greatest) returned before the read. Returns the number of the history.
    pub fn opened(&self, name: String, last: u64, greatest: u64) -> u64 {
        let mut known = lock(&self.name);
        let is_other = known.as_ref().is_some_and(|known| *known != name) || last < greatest;
        *known = Some(name);
        if is_other {
            self.is_another(last);
        }
        self.saw(last);
        self.number()
    }

    /// Records that a new history has begun, whose last number is `last`.
    pub fn is_another(&self, last: u64) {
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
        let open = |name: &str, last| history.opened(name.to_owned(), last, history.greatest());
        assert_eq!([open("a", 5), open("a", 5), open("a", 9)], [0, 0, 0]);
        assert_eq!([open("a", 7), open("a", 8)], [1, 1]);
        assert_eq!([open("b", 20), open("b", 20)], [2, 2]);
    }
}
