//! Small histories for the tests of the checkers.

use std::time::Duration;

use super::checks::{Rule, check};
use super::event::{Act, Client, Event, History, Terms, Wish};

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn wish() -> Wish {
    Wish { object: 0, shared: false, limit: 1, waits: true }
}

pub(super) fn history(events: impl IntoIterator<Item = (u64, Client, Act)>) -> History {
    let terms = Terms { arrival: Duration::ZERO, ..Terms::default() };
    let event = |(at, client, act)| Event { at, client, act };
    History::new(events.into_iter().map(event).collect(), terms)
}

/// The rules that are broken, each once.
pub(super) fn broken(history: &History) -> Vec<Rule> {
    let mut rules: Vec<_> = check(history).into_iter().map(|violation| violation.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}
