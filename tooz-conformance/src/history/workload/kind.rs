//! The objects that the clients of a run use.

use serde::{Deserialize, Serialize};

/// What the clients of a run work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// All workloads.
    pub const ALL: [Self; 6] =
        [Self::Lock, Self::SharedLock, Self::Semaphore, Self::Election, Self::Group, Self::Topic];

    /// The name, as in the names of trials.
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

    /// Whether some clients only observe.
    pub(crate) fn is_observed(self) -> bool {
        matches!(self, Self::Election | Self::Group | Self::Topic)
    }
}

/// The number of locks, semaphores or elections of a run.
pub(crate) const OBJECTS: u8 = 2;

/// The limit of each semaphore of a run.
pub(crate) const PERMITS: u32 = 2;

/// The name of an object in the backend.
pub(crate) fn object_name(object: u8) -> String {
    format!("object-{object}")
}
