//! Which objects the clients of a run use, and how.

use serde::{Deserialize, Serialize};

/// What the clients of a run work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Workload {
    /// Exclusive locks.
    Lock,
    /// Locks in both modes.
    SharedLock,
    /// Semaphores.
    Semaphore,
    /// Elections, with observers.
    Election,
    /// Groups, with watchers.
    Group,
    /// Topics, with publishers and readers.
    Topic,
}

impl Workload {
    /// Each.
    pub const ALL: [Self; 6] =
        [Self::Lock, Self::SharedLock, Self::Semaphore, Self::Election, Self::Group, Self::Topic];

    /// As in the names of trials.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::SharedLock => "shared_lock",
            Self::Semaphore => "semaphore",
            Self::Election => "election",
            Self::Group => "group",
            Self::Topic => "topic",
        }
    }

    /// Whether it needs somebody who only looks on.
    pub(crate) fn is_observed(self) -> bool {
        matches!(self, Self::Election | Self::Group | Self::Topic)
    }
}

/// How many locks, semaphores or elections a run has.
pub(crate) const OBJECTS: u8 = 2;

/// How many may hold a semaphore of a run.
pub(crate) const PERMITS: u32 = 2;

/// The name of an object in the backend.
pub(crate) fn object_name(object: u8) -> String {
    format!("object-{object}")
}
