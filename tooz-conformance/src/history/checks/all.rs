//! All checks together.

use super::rule::Violation;
use super::{eras, exclusion, group, linear, liveness, loss, observer, tokens, topic};
use crate::history::event::History;

type Check = fn(&History) -> Vec<Violation>;

const CHECKS: [Check; 7] = [
    exclusion::check,
    loss::check,
    liveness::check,
    liveness::check_leftovers,
    observer::check_errors,
    observer::check_end,
    group::check,
];

/// The checks of numbers, which may start again with each history of the server.
const CHECKS_OF_NUMBERS: [Check; 3] = [tokens::check, observer::check, topic::check];

/// All violations in `history`, in the order of time, except those of linearizability.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found: Vec<_> = CHECKS.iter().flat_map(|check| check(history)).collect();
    for part in eras::split(history) {
        found.extend(CHECKS_OF_NUMBERS.iter().flat_map(|check| check(&part)));
    }
    found.sort_by_key(|violation| violation.window.1);
    found
}

/// The violations of linearizability. They usually confirm others, and show less of the cause.
pub fn check_linearizability(history: &History) -> Vec<Violation> {
    eras::split(history).iter().flat_map(linear::check).collect()
}
