//! Small histories for the tests of the checks.

use std::time::Duration;

use super::checks::{Rule, check};
use super::client_id::Client;
use super::event::{Act, Event, History, Request};
use super::timing::Timing;

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn request() -> Request {
    Request { object: 0, shared: false, limit: 1, waits: true }
}

pub(super) fn history(events: impl IntoIterator<Item = (u64, Client, Act)>) -> History {
    let timing = Timing { arrival: Duration::ZERO, ..Timing::default() };
    let event = |(at, client, act)| Event { at, client, act };
    History::new(events.into_iter().map(event).collect(), timing)
}

/// The broken rules, each once.
pub(super) fn broken(history: &History) -> Vec<Rule> {
    let mut rules: Vec<_> = check(history).into_iter().map(|violation| violation.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}
