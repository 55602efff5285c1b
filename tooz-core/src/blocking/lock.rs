//! Locks and guards of the blocking API.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::coordinator::Coordinator;
use super::runtime::Runtime;
use crate::{Error, FencingToken, Name, Participant, Queue, Result};

impl Coordinator {
    /// The lock with this name.
    #[must_use]
    pub fn lock(&self, name: impl AsRef<[u8]>) -> Lock {
        Lock { runtime: self.runtime.clone(), lock: self.inner().lock(name) }
    }
}

/// A lock; see [`tooz_core::Lock`](crate::Lock).
#[derive(Clone, Debug)]
pub struct Lock {
    pub(super) runtime: Runtime,
    pub(super) lock: crate::Lock,
}

impl Lock {
    /// The same lock in shared mode; see [`Lock::shared`](crate::Lock::shared).
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { lock: self.lock.shared(), ..self.clone() }
    }

    /// The same lock; its entries show `info` to every client. See [`Lock::with_info`](crate::Lock::with_info).
    #[must_use]
    pub fn with_info(&self, info: impl AsRef<[u8]>) -> Self {
        Self { lock: self.lock.with_info(info), ..self.clone() }
    }

    /// The same lock with a greatest hold time; see [`Lock::with_greatest_hold`](crate::Lock::with_greatest_hold).
    #[must_use]
    pub fn with_greatest_hold(&self, time: Duration) -> Self {
        Self { lock: self.lock.with_greatest_hold(time), ..self.clone() }
    }

    /// Waits for the lock, for as long as it takes.
    ///
    /// # Errors
    /// As [`Lock::acquire`](crate::Lock::acquire).
    pub fn acquire(&self) -> Result<Guard> {
        Ok(Guard::new(&self.runtime, self.runtime.run(self.lock.acquire())?))
    }

    /// Acquires the lock if it is free at this moment.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<Guard>> {
        let guard = self.runtime.run(self.lock.try_acquire())?;
        Ok(guard.map(|guard| Guard::new(&self.runtime, guard)))
    }

    /// Waits for the lock, at most for `limit`.
    ///
    /// # Errors
    /// `Timeout`; else as [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Guard> {
        Ok(Guard::new(&self.runtime, self.runtime.run(self.lock.acquire_timeout(limit))?))
    }

    /// Reads the holders and the waiters.
    ///
    /// # Errors
    /// As [`Lock::inspect`](crate::Lock::inspect).
    pub fn inspect(&self) -> Result<Queue> {
        self.runtime.run(self.lock.inspect())
    }

    /// Takes the lock away from all its holders; see [`Lock::break_lock`](crate::Lock::break_lock).
    ///
    /// # Errors
    /// As [`Lock::break_lock`](crate::Lock::break_lock).
    pub fn break_lock(&self) -> Result<Vec<Participant>> {
        self.runtime.run(self.lock.break_lock())
    }
}

/// A lock or permit that is held. Dropping it releases it in the background; see [`tooz_core::Guard`](crate::Guard).
#[derive(Debug)]
#[must_use = "dropping a guard releases what it holds"]
pub struct Guard {
    // Fields are dropped in this order: the runtime ends last.
    guard: Arc<crate::Guard>,
    runtime: Runtime,
}

impl Guard {
    pub(super) fn new(runtime: &Runtime, guard: impl Into<Arc<crate::Guard>>) -> Self {
        Self { guard: guard.into(), runtime: runtime.clone() }
    }

    /// The fencing token of this grant.
    pub fn fencing_token(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// The name of the lock or semaphore.
    pub fn name(&self) -> &Name {
        self.guard.name()
    }

    /// Whether you may rely on the guard at this moment. Sends nothing.
    pub fn is_held(&self) -> bool {
        self.guard.is_held()
    }

    /// For how long you may rely on the guard; see [`Guard::remaining`](crate::Guard::remaining).
    pub fn remaining(&self) -> Option<Duration> {
        self.guard.remaining()
    }

    /// Waits until the guard is lost and returns the cause; `Unsupported` in a thread of an async runtime.
    pub fn lost(&self) -> Error {
        let Err(cause) = self.runtime.run(async { Err::<Infallible, _>(self.guard.lost().await) });
        cause
    }

    /// Asks the backend whether it still has the entry of this guard.
    ///
    /// # Errors
    /// As [`Guard::verify`](crate::Guard::verify).
    pub fn verify(&self) -> Result<()> {
        self.runtime.run(self.guard.verify())
    }

    /// Releases what the guard holds. Success means that it was held until now.
    ///
    /// # Errors
    /// As [`Guard::release`](crate::Guard::release).
    pub fn release(self) -> Result<()> {
        self.runtime.run(self.guard.release_shared())
    }
}
