//! The rules that a history can break, and a violation of one.

use std::fmt;

use crate::history::client_id::Client;
use crate::history::event::Op;

macro_rules! rules {
    ($($rule:ident = $text:literal,)*) => {
        /// A rule that a history can break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $text] $rule,)*
        }

        impl Rule {
            /// The rule as a sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$rule => $text,)*
                }
            }
        }
    };
}

rules! {
    Exclusion = "At any time there are at most as many holders as mode and limit allow.",
    Linearizable = "Grants and releases fit into one order that a lock allows.",
    RisingTokens = "Each grant has a greater token than all grants before it.",
    Fencing = "A store that refuses smaller tokens than it has seen accepts every write of a holder.",
    Order = "The waiter that requested first is granted first.",
    LossFirst = "A holder is notified of its loss before another client is granted.",
    LossNotified = "A holder whose entry was removed is notified.",
    LostWithServer = "What was held when the server was emptied or restored is lost, within a TTL.",
    LossHasCause = "A lock is lost only if there is a cause.",
    TrueRelease = "The release of a held lock reports success.",
    Wakeup = "A free lock is granted to a live waiter: promptly after a release, within TTL and grace after a crash.",
    NothingLeft = "No entry exists after all clients have ended.",
    OneLeader = "Each term has one leader.",
    NoGoingBack = "An observer never goes back to an earlier term.",
    TrueLeader = "An observer ends with the true leader.",
    OnceInOrder = "A watcher sees each incarnation join once and then leave once.",
    TrueMembers = "A watcher ends with the true members.",
    OneOrder = "All readers see one order, which keeps that of each publisher.",
    NothingMissing = "Every acknowledged message is read.",
    NothingTwice = "No message is read or published twice.",
    Uninterrupted = "Watching, observing and reading continue through faults without an error, and without a gap unless the server was emptied or restored.",
}

/// A violation of a rule by a history.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What happened.
    pub text: String,
    /// The first and the last time that matter.
    pub window: (u64, u64),
    /// The operations that show the violation.
    pub ops: Vec<(Client, Op)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}. Rule: {}", self.rule, self.text, self.rule.sentence())
    }
}
