//! Semaphores: at most n holders at a time, first come, first served.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::coordinator::Target;
use crate::driver::{IfBlocked, Mode};
use crate::lock::{Guard, Participant, Queue, enter, evict_holders, inspect, wait, within};
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
        self.target.run("acquire", async { wait(&self.target, Mode::Exclusive, self.limit()?).await }).await
    }

    /// Takes a permit if one is free at this moment, else returns `None` and leaves nothing behind.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        let enter = async { enter(&self.target, Mode::Exclusive, self.limit()?, IfBlocked::Withdraw).await };
        self.target.run("try_acquire", enter).await
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
    pub async fn inspect(&self) -> Result<Queue> {
        self.target.run("inspect", inspect(&self.target)).await
    }

    /// Takes the permits away from all who hold one; see [`Lock::break_lock`](crate::Lock::break_lock).
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn break_permits(&self) -> Result<Vec<Participant>> {
        self.target.run("break_permits", evict_holders(&self.target)).await
    }

    fn limit(&self) -> Result<NonZeroU32> {
        NonZeroU32::new(self.permits)
            .ok_or_else(|| Error::new(ErrorKind::InvalidOption, "a semaphore needs at least one permit"))
    }
}
