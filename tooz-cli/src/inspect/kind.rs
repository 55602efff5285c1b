//! The kinds of objects.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A lock.
    Lock,
    /// A semaphore.
    Semaphore,
    /// An election.
    Election,
    /// A group.
    Group,
    /// A topic.
    Topic,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Lock, Self::Semaphore, Self::Election, Self::Group, Self::Topic];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Semaphore => "semaphore",
            Self::Election => "election",
            Self::Group => "group",
            Self::Topic => "topic",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
