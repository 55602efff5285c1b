//! What one process of a run does: which clients it runs, and until when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::Workload;
use crate::history::client_id::Client;

/// What one process does. Moments are those of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// With what.
    pub workload: Workload,
    /// What all choices of the clients are drawn from.
    pub seed: u64,
    /// Which clients it plays.
    pub clients: Vec<Client>,
    /// The TTL of their sessions.
    pub ttl: Duration,
    /// When they begin nothing new any more.
    pub until: u64,
    /// Until when onlookers look.
    pub settled: u64,
    /// Until when members stay, at least.
    pub over: u64,
    /// Whether the clock is that of the host.
    pub real_time: bool,
}
