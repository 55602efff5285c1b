//! What one process of a run does: which clients it runs, and until when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::Workload;
use crate::history::client_id::Client;

/// What one process does. Times are those of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// What the clients work with.
    pub workload: Workload,
    /// The source of the clients' random choices.
    pub seed: u64,
    /// The clients of this process.
    pub clients: Vec<Client>,
    /// The TTL of their sessions.
    pub ttl: Duration,
    /// When clients stop starting new operations.
    pub until: u64,
    /// When observers stop.
    pub settled: u64,
    /// When members leave at the earliest.
    pub over: u64,
    /// Whether the clock is that of the host.
    pub real_time: bool,
}

impl ProcessPlan {
    /// How many times longer clients pause than those of a process with few clients, so that many do not overload a machine.
    pub(super) fn slowness(&self) -> u32 {
        u32::try_from(self.clients.len()).unwrap_or(u32::MAX).saturating_sub(2).max(1)
    }
}
