//! The times that a run relies on.

use std::time::Duration;

/// What a run may take for granted.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The TTL of the sessions.
    pub ttl: Duration,
    /// How soon a free lock must be granted when nothing is wrong.
    pub prompt: Duration,
    /// How much earlier than another somebody must have asked for his place to be earlier for certain.
    pub arrival: Duration,
    /// How late the backend may notice a crash, beyond the TTL.
    pub grace: Duration,
    /// Whether sessions expire: a client that is frozen then holds nothing up for ever.
    pub expires: bool,
    /// Whether the clock is that of the host, so that a process may be stopped without having been told.
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
    /// How long it takes until nothing of a fault is left: sessions have expired, and clients have come back.
    pub fn settling(&self) -> Duration {
        self.ttl + self.grace
    }
}
