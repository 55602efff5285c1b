//! All checks together.

use super::rule::Violation;
use super::{exclusion, group, linear, liveness, loss, observer, tokens, topic};
use crate::history::event::History;

type Check = fn(&History) -> Vec<Violation>;

const CHECKS: [Check; 9] = [
    exclusion::check,
    tokens::check,
    loss::check,
    liveness::check,
    liveness::check_leftovers,
    observer::check,
    observer::check_errors,
    group::check,
    topic::check,
];

/// All violations in `history`, in the order of time, except those of linearizability.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found: Vec<_> = CHECKS.iter().flat_map(|check| check(history)).collect();
    found.sort_by_key(|violation| violation.window.1);
    found
}

/// The violations of linearizability. They usually confirm others, and show less of the cause.
pub fn check_linearizability(history: &History) -> Vec<Violation> {
    linear::check(history)
}
