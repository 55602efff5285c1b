//! The times that a run relies on.

use std::time::Duration;

/// The times that a run relies on.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The TTL of the sessions.
    pub ttl: Duration,
    /// How soon a free lock must be granted while no fault is active.
    pub prompt: Duration,
    /// How much earlier a request must be made to be certainly earlier in the queue.
    pub arrival: Duration,
    /// How late, beyond the TTL, the backend may detect a crash.
    pub grace: Duration,
    /// Whether sessions expire. If not, a frozen client may block others for as long as it is frozen.
    pub expires: bool,
    /// Whether the clock is that of the host, so that a process may be stopped at any time.
    pub real_time: bool,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3),
            prompt: Duration::from_secs(2),
            arrival: Duration::from_secs(1),
            grace: Duration::from_secs(2),
            expires: true,
            real_time: true,
        }
    }
}

impl Timing {
    /// The time after which a fault has no effect any more: sessions have expired, and clients have reconnected.
    pub fn settling(&self) -> Duration {
        self.ttl + self.grace
    }
}
