//! The rules, as pure functions over a history.

mod exclusion;
mod group;
mod linear;
mod liveness;
mod loss;
mod observer;
mod spans;
mod tokens;
mod topic;

use std::fmt;

use super::client_id::Client;
use super::event::{History, Op};

pub use self::spans::{Disturbances, Ending, Span, spans};

/// A rule that a history can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Never more holders at once than the mode and the limit allow.
    Exclusion,
    /// Grants and releases fit into one order that a lock allows.
    Linearizable,
    /// Each grant has a greater token than all before it.
    RisingTokens,
    /// A write of a holder is never refused by a store that has seen a later token.
    Fencing,
    /// Who asked first is granted first.
    Order,
    /// A loss is told before anybody else is granted.
    LossFirst,
    /// A holder whose entry was removed behind its back is told.
    LossTold,
    /// Nothing is lost without a cause.
    LossHasCause,
    /// A release of something that is held says so.
    TrueRelease,
    /// What became free is granted to a live waiter: in time after a crash, promptly after a release.
    Wakeup,
    /// Nothing stands any more when all clients have gone.
    NothingLeft,
    /// One leader a term.
    OneLeader,
    /// An observer never goes back to an earlier term.
    NoGoingBack,
    /// Each incarnation joins once and leaves once, in this order.
    OnceInOrder,
    /// A watcher ends at the true members.
    TrueMembers,
    /// All readers see one order, which keeps that of the publishers.
    OneOrder,
    /// Nothing acknowledged is missing.
    NothingMissing,
    /// Nothing is read twice or published twice.
    NothingTwice,
    /// Watching, observing and reading go on through outages, without an error.
    GoesOn,
}

/// How a history breaks a rule.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How.
    pub text: String,
    /// From which moment to which.
    pub window: (u64, u64),
    /// The operations that show it.
    pub ops: Vec<(Client, Op)>,
}

type Check = fn(&History) -> Vec<Violation>;

const CHECKS: [Check; 9] = [
    exclusion::check,
    tokens::check,
    loss::check,
    liveness::check,
    liveness::check_leftovers,
    observer::check,
    observer::check_broken,
    group::check,
    topic::check,
];

/// Everything that is wrong with `history`, in the order of time.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found: Vec<_> = CHECKS.iter().flat_map(|check| check(history)).collect();
    found.sort_by_key(|violation| violation.window.1);
    found
}

/// What another checker says of the same locks; it shows less of what is wrong.
pub fn second_opinion(history: &History) -> Vec<Violation> {
    linear::check(history)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}
