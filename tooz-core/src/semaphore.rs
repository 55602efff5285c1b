//! Semaphores: at most n holders at a time, granted in the order of arrival.

use std::time::Duration;

use crate::Result;
use crate::coordinator::{Coordinator, Names, PAGE, RosterTarget};
use crate::driver::{Kind, Mode};
use crate::lock::{GrantQueue, Guard, Participant, Queue, QueueWatch};

impl Coordinator {
    /// The semaphore with this name and at least one permit. All its users must give the same number of permits.
    ///
    /// Sends nothing; the first operation reports an invalid name or number.
    #[must_use]
    pub fn semaphore(&self, name: impl AsRef<[u8]>, permits: u32) -> Semaphore {
        Semaphore { queue: GrantQueue::new(RosterTarget::new(self, Kind::Semaphore, name), Mode::Exclusive, permits) }
    }

    /// The names of all semaphores that a client holds or awaits, in pages; see [`Names`].
    pub fn semaphores(&self) -> Names {
        Names::new(self, "semaphores", |session, after| session.rosters(Kind::Semaphore, after, PAGE))
    }
}

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
    queue: GrantQueue,
}

impl Semaphore {
    /// The same semaphore; its entries show `info` to every client that [inspects](Self::inspect) it.
    ///
    /// `info` is for people and tools, such as a host and a job id, as [`Participant::info`]. It counts towards
    /// [`Builder::max_value_size`](crate::Builder::max_value_size); an acquisition with more fails with `InvalidOption`.
    #[must_use]
    pub fn with_info(&self, info: impl AsRef<[u8]>) -> Self {
        Self { queue: self.queue.with_info(info.as_ref()) }
    }

    /// The same semaphore, held for `time` at most after each grant. Then the guard is [lost](Guard::lost), with a `NotHeld`
    /// error, and a background task releases it.
    ///
    /// Use it where a hung job must not hold up all others. This client enforces the time, on a clock that includes
    /// suspends; no backend knows it. If the client crashes or stalls meanwhile, the guard is lost as usual, and the
    /// backend releases it after the session's TTL. So another client waits for `time` or for the TTL, whichever is longer.
    ///
    /// A `time` of zero is refused by the acquisition with `InvalidOption`.
    #[must_use]
    pub fn with_greatest_hold(&self, time: Duration) -> Self {
        Self { queue: self.queue.with_greatest_hold(time) }
    }

    /// Waits for a permit, for as long as it takes.
    ///
    /// Cancel safe: if you drop the future, it loses its position in the queue and leaves nothing behind.
    ///
    /// # Errors
    /// As [`Lock::acquire`](crate::Lock::acquire), and `InvalidOption` if the semaphore has no permits.
    pub async fn acquire(&self) -> Result<Guard> {
        self.queue.wait("acquire").await
    }

    /// Acquires a permit if one is free at this moment and no other client waits. Otherwise returns `None` and leaves
    /// nothing behind.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.queue.try_enter("try_acquire").await
    }

    /// Waits for a permit, at most for `limit`. A limit of zero means one attempt. Cancel safe.
    ///
    /// # Errors
    /// `Timeout` if no permit was granted in time; else as [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, limit: Duration) -> Result<Guard> {
        self.queue.wait_at_most("acquire_timeout", limit).await
    }

    /// Reads the holders and the waiters, in the order of arrival. One request.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Corrupt`.
    pub async fn inspect(&self) -> Result<Queue> {
        self.queue.inspect().await
    }

    /// Follows the holders and the waiters: the present ones first, then those after each change.
    pub fn watch(&self) -> QueueWatch {
        self.queue.watch()
    }

    /// Takes all permits away from their holders and returns the holders; see
    /// [`Lock::break_lock`](crate::Lock::break_lock).
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Corrupt`.
    pub async fn break_permits(&self) -> Result<Vec<Participant>> {
        self.queue.evict_holders("break_permits").await
    }
}
