//! The driver contract: how drivers register, which properties they declare, and how they open sessions.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Session, SessionOptions};
use crate::{Characteristic, Result, ServiceUrl};

/// Registers a driver: the URL schemes that it serves, and the function that makes a [`Driver`] from a URL.
///
/// A driver crate defines one as `pub const DRIVER` and submits it with `inventory::submit! { DRIVER }`.
#[derive(Clone, Copy, Debug)]
pub struct DriverEntry {
    /// The name of the product in lowercase, such as `"redis"`.
    pub name: &'static str,
    /// The URL schemes that the driver serves.
    pub schemes: &'static [&'static str],
    /// Reads the hosts and options of the URL, without I/O.
    ///
    /// # Errors
    /// `InvalidUrl`; `InvalidOption`, also for an unknown option, see [`ServiceUrl::options`].
    pub open: fn(&ServiceUrl) -> Result<Arc<dyn Driver>>,
}

inventory::collect!(DriverEntry);

/// The properties of a driver for the URL with which it was opened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DriverInfo {
    /// The name of the product in lowercase, which labels metrics and spans.
    pub name: &'static str,
    /// What holds on this backend. A driver claims only what the conformance suite has shown.
    pub characteristics: &'static [Characteristic],
    /// Whether sessions have [`Topics`](super::Topics).
    pub topics: bool,
    /// The session TTL that the driver's own URL options set. The option `ttl` and the builder override it.
    pub ttl: Option<Duration>,
    /// The least and the greatest TTL that the backend supports. Core refuses any other when it connects.
    pub ttl_range: (Duration, Duration),
    /// Whether [`Session::lost`](super::Session::lost) resolves when an entry is removed, and not only when the session is renewed.
    pub pushes_losses: bool,
}

impl DriverInfo {
    /// A driver without topics and without a TTL of its own, for a backend that supports TTLs from 1 ms to 136 years.
    pub const fn new(name: &'static str, characteristics: &'static [Characteristic]) -> Self {
        let ttl_range = (Duration::from_millis(1), Duration::from_secs(u32::MAX as u64));
        Self { name, characteristics, topics: false, ttl: None, ttl_range, pushes_losses: true }
    }

    /// The same, with [`Topics`](super::Topics) in every session.
    #[must_use]
    pub const fn with_topics(mut self) -> Self {
        self.topics = true;
        self
    }

    /// The same, with the session TTL that the driver's own URL options set.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    /// The same, for a driver that learns of the removal of an entry only when it renews the session.
    #[must_use]
    pub const fn without_push(mut self) -> Self {
        self.pushes_losses = false;
        self
    }

    /// The same, for a backend that supports only TTLs from `least` to `greatest`.
    #[must_use]
    pub const fn with_ttl_range(mut self, least: Duration, greatest: Duration) -> Self {
        self.ttl_range = (least, greatest);
        self
    }
}

/// A backend at one URL. It holds no connection until a session is opened.
#[async_trait]
pub trait Driver: Debug + Send + Sync + 'static {
    /// The properties of the driver. Constant.
    fn info(&self) -> DriverInfo;

    /// Connects and opens a session. Sessions may share connections, and nothing else.
    ///
    /// R1: the driver checks that the backend answers. If the server is away, does not reply or is a different product,
    /// `open` fails within `options.timeout`.
    ///
    /// **Cancel safety:** a session that was opened for a dropped call ends by itself, at the latest by its TTL.
    ///
    /// # Errors
    /// `Unavailable`, which names the address and the cause; `AuthFailed`, `InvalidOption`, `Corrupt`, `Unsupported`.
    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>>;
}
