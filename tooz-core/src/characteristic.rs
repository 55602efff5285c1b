//! What holds on a backend, in the words of Python's tooz.

use std::fmt;

/// A property that a driver declares and a user may require at connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Characteristic {
    /// A crash is noticed without a timeout.
    NonTimeoutBased,
    /// Works between threads of one process.
    DistributedAcrossThreads,
    /// Works between processes of one host.
    DistributedAcrossProcesses,
    /// Works between hosts.
    DistributedAcrossHosts,
    /// Every operation takes effect at one moment between its call and its return.
    Linearizable,
    /// All clients see all operations in one order, which keeps each client's own order.
    Sequential,
    /// Operations that depend on each other are seen in that order by all clients.
    Causal,
    /// Operations behave as if they ran one after another, in some order.
    Serializable,
    /// All clients see the same, also while the backend is partitioned.
    SameViewUnderPartitions,
    /// All clients see the same at the same time.
    SameViewAcrossClients,
}

impl fmt::Display for Characteristic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
