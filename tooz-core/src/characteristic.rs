//! The guarantees of a backend, under the names that Python's tooz uses.

use std::fmt;

/// A guarantee that a driver declares and that [`Builder::require`](crate::Builder::require) checks.
///
/// The names are those of Python's tooz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Characteristic {
    /// The backend notices the crash of a client at once, without waiting for a timeout.
    NonTimeoutBased,
    /// Threads of one process can share objects.
    DistributedAcrossThreads,
    /// Processes on one host can share objects.
    DistributedAcrossProcesses,
    /// Processes on different hosts can share objects.
    DistributedAcrossHosts,
    /// Every operation takes effect at one moment between its call and its return.
    Linearizable,
    /// All clients see all operations in the same order, which preserves the order of each client's own operations.
    Sequential,
    /// All clients see operations that depend on each other in the order of their dependence.
    Causal,
    /// Operations have the same effect as if they ran one after another, in some order.
    Serializable,
    /// All clients see the same state, even while the network between the servers is partitioned.
    SameViewUnderPartitions,
    /// All clients see the same state at the same time.
    SameViewAcrossClients,
}

impl fmt::Display for Characteristic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
