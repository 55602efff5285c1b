//! Locks: exclusive or shared, granted in the order of arrival.

use std::time::Duration;

use super::grant_queue::GrantQueue;
use super::guard::Guard;
use super::queue::{Participant, Queue};
use super::queue_watch::QueueWatch;
use crate::coordinator::{Coordinator, Names, PAGE, RosterTarget};
use crate::driver::{Kind, Mode};
use crate::{Name, Result};

impl Coordinator {
    /// The lock with this name: 1 to 512 bytes. Sends nothing; the first operation reports an invalid name.
    #[must_use]
    pub fn lock(&self, name: impl AsRef<[u8]>) -> Lock {
        Lock { queue: GrantQueue::new(RosterTarget::new(self, Kind::Lock, name), Mode::Exclusive, 1) }
    }

    /// The names of all locks that a client holds or awaits, in pages; see [`Names`].
    pub fn locks(&self) -> Names {
        Names::new(self, "locks", |session, after| session.rosters(Kind::Lock, after, PAGE))
    }
}

/// A lock that one client holds in exclusive mode, or any number of clients in shared mode.
///
/// It is granted strictly in the order of arrival: a reader that arrives after a waiting writer waits for it. It is not
/// reentrant: a second acquisition waits for the first, even in the same task.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://lock-doc").await?;
/// let lock = coordinator.lock("nightly");
/// let guard = lock.acquire().await?;
/// assert!(lock.try_acquire().await?.is_none());
/// guard.release().await?;
///
/// let (first, second) = (lock.shared().acquire().await?, lock.shared().acquire().await?);
/// assert!(first.fencing_token() < second.fencing_token());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    queue: GrantQueue,
}

impl Lock {
    /// The coordinator that made this object.
    pub fn coordinator(&self) -> &Coordinator {
        self.queue.coordinator()
    }

    /// The name of the lock.
    ///
    /// # Errors
    /// `InvalidName` if it is not a valid one.
    pub fn name(&self) -> Result<&Name> {
        self.queue.name()
    }

    /// The same lock in shared mode. It is granted unless a client that arrived earlier holds or awaits the lock in
    /// exclusive mode.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { queue: self.queue.with_mode(Mode::Shared) }
    }

    /// The same lock; its entries show `info` to every client that [inspects](Self::inspect) it.
    ///
    /// `info` is for people and tools, such as a host and a job id, as [`Participant::info`]. It counts towards
    /// [`Builder::max_value_size`](crate::Builder::max_value_size); an acquisition with more fails with `InvalidOption`.
    #[must_use]
    pub fn with_info(&self, info: impl AsRef<[u8]>) -> Self {
        Self { queue: self.queue.with_info(info.as_ref()) }
    }

    /// The same lock, held for `time` at most after each grant. Then the guard is [lost](Guard::lost), with a `NotHeld`
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

    /// Waits for the lock, for as long as it takes.
    ///
    /// Cancel safe: if you drop the future, it loses its position in the queue and leaves nothing behind.
    ///
    /// # Errors
    /// - `SessionLost`: the session was lost while the call waited; the next call uses a new one.
    /// - `Closed`: the coordinator was closed, or its runtime has ended.
    /// - `NotHeld`: another client removed the entry from the queue.
    /// - `Unavailable`: the backend did not answer for the whole request timeout.
    /// - `InvalidName`: the name is empty or longer than 512 bytes.
    pub async fn acquire(&self) -> Result<Guard> {
        self.queue.wait("acquire").await
    }

    /// Acquires the lock if it is free at this moment. Otherwise returns `None` and leaves nothing behind.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.queue.try_enter("try_acquire").await
    }

    /// Waits for the lock, at most for `limit`. A limit of zero means one attempt. Cancel safe.
    ///
    /// # Errors
    /// `Timeout` if the lock was not granted in time; else as [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, limit: Duration) -> Result<Guard> {
        self.queue.wait_at_most("acquire_timeout", limit).await
    }

    /// Reads the holders and the waiters of the lock, in the order of arrival. One request.
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

    /// Takes the lock away from all its holders and returns them. The waiters keep their positions.
    ///
    /// The backend notifies the holders, but a notification may arrive late. Until then two clients may believe that they
    /// hold the lock. Only [fencing](crate::FencingToken) makes this safe.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Corrupt`.
    pub async fn break_lock(&self) -> Result<Vec<Participant>> {
        self.queue.evict_holders("break_lock").await
    }
}
