//! The history of a namespace, as [`driver::History`](tooz_core::driver::History) describes it, and one more sign of a restore.
//!
//! The server remembers the latest sessions that were opened. If it does not know one of the driver's, its data is older,
//! even if other clients have written so much since that the sequence has passed the driver's numbers.

use std::ops::Deref;
use std::sync::Mutex;

use tooz_core::driver;
use tooz_core::driver::support::lock;

/// What one driver knows of the history of one namespace.
#[derive(Debug, Default)]
pub(crate) struct History {
    numbers: driver::History,
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

impl Deref for History {
    type Target = driver::History;

    fn deref(&self) -> &driver::History {
        &self.numbers
    }
}

impl History {
    /// The latest session that the driver has opened.
    pub(crate) fn latest_opening(&self) -> Option<Opening> {
        lock(&self.opening).clone()
    }

    /// Records what a new session has read, after a request that was sent when `greatest` was the greatest number. Returns
    /// the number of the history.
    pub(crate) fn opened(&self, opened: Opened, greatest: u64) -> u64 {
        let mut opening = lock(&self.opening);
        let before = self.number();
        let number = self.numbers.opened(opened.name, opened.last, greatest);
        if number == before && !opened.knows_earlier {
            self.is_another(opened.last);
        }
        *opening = Some(opened.opening);
        self.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_know_an_earlier_session_has_another_history() {
        let history = History::default();
        let open = |name: &str, last, knows_earlier| {
            let (name, opening) = (name.to_owned(), Opening { number: 1, session: "s".to_owned() });
            history.opened(Opened { name, last, opening, knows_earlier }, history.greatest())
        };
        assert_eq!([open("a", 5, true), open("a", 9, true)], [0, 0]);
        assert_eq!([open("a", 30, false), open("a", 30, true)], [1, 1]);
        assert_eq!(open("b", 20, false), 2);
    }
}
