//! Semaphores: at most n holders at a time, first come, first served.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::coordinator::Target;
use crate::driver::{IfBlocked, Mode};
use crate::lock::{Guard, Line, Participant, enter, evict_holders, granted, inspect, within};
use crate::{Error, ErrorKind, Result};

/// A semaphore with a fixed number of permits. A [`Guard`] holds one of them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://semaphore-doc").await?;
/// let workers = coordinator.semaphore("workers", 2);
/// let (_first, _second) = (workers.acquire().await?, workers.acquire().await?);
/// assert!(workers.try_acquire().await?.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    target: Target,
    permits: u32,
}

impl Semaphore {
    pub(crate) fn new(target: Target, permits: u32) -> Self {
        Self { target, permits }
    }

    /// Waits for a permit as long as it takes. Cancel safe: nothing stays behind.
    ///
    /// # Errors
    /// As [`Lock::acquire`](crate::Lock::acquire), and `InvalidOption` if the semaphore has no permits at all.
    pub async fn acquire(&self) -> Result<Guard> {
        let outcome = self.enter(IfBlocked::Wait).await;
        self.target.in_context("acquire", outcome.and_then(granted))
    }

    /// Takes a permit if one is free at this moment, else returns `None` and leaves nothing behind.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.target.in_context("try_acquire", self.enter(IfBlocked::Withdraw).await)
    }

    /// Waits for a permit at most for `limit`.
    ///
    /// # Errors
    /// `Timeout`, else as [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, limit: Duration) -> Result<Guard> {
        within(limit, &self.target, self.acquire()).await
    }

    /// Who holds a permit and who waits for one.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn inspect(&self) -> Result<Line> {
        self.target.in_context("inspect", inspect(&self.target).await)
    }

    /// Takes the permits away from all who hold one; see [`Lock::break_lock`](crate::Lock::break_lock).
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn break_permits(&self) -> Result<Vec<Participant>> {
        self.target.in_context("break_permits", evict_holders(&self.target).await)
    }

    async fn enter(&self, if_blocked: IfBlocked) -> Result<Option<Guard>> {
        let permits = NonZeroU32::new(self.permits)
            .ok_or_else(|| Error::new(ErrorKind::InvalidOption, "a semaphore needs at least one permit"))?;
        enter(&self.target, Mode::Exclusive, permits, if_blocked).await
    }
}
