//! Semaphores of the blocking API.

use std::time::Duration;

use super::coordinator::Coordinator;
use super::lock::Guard;
use super::runtime::Runtime;
use crate::{Queue, Result};

impl Coordinator {
    /// The semaphore with this name and number of permits.
    #[must_use]
    pub fn semaphore(&self, name: impl AsRef<[u8]>, permits: u32) -> Semaphore {
        Semaphore { runtime: self.runtime.clone(), semaphore: self.inner().semaphore(name, permits) }
    }
}

/// A semaphore; see [`tooz_core::Semaphore`](crate::Semaphore).
#[derive(Clone, Debug)]
pub struct Semaphore {
    runtime: Runtime,
    semaphore: crate::Semaphore,
}

impl Semaphore {
    /// The same semaphore; its entries show `info` to every client. See [`Semaphore::with_info`](crate::Semaphore::with_info).
    #[must_use]
    pub fn with_info(&self, info: impl AsRef<[u8]>) -> Self {
        Self { semaphore: self.semaphore.with_info(info), ..self.clone() }
    }

    /// The same semaphore with a greatest hold time; see [`Semaphore::with_greatest_hold`](crate::Semaphore::with_greatest_hold).
    #[must_use]
    pub fn with_greatest_hold(&self, time: Duration) -> Self {
        Self { semaphore: self.semaphore.with_greatest_hold(time), ..self.clone() }
    }

    /// Waits for a permit, for as long as it takes.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`](crate::Semaphore::acquire).
    pub fn acquire(&self) -> Result<Guard> {
        Ok(Guard::new(&self.runtime, self.runtime.run(self.semaphore.acquire())?))
    }

    /// Acquires a permit if one is free at this moment.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<Guard>> {
        let guard = self.runtime.run(self.semaphore.try_acquire())?;
        Ok(guard.map(|guard| Guard::new(&self.runtime, guard)))
    }

    /// Waits for a permit, at most for `limit`.
    ///
    /// # Errors
    /// `Timeout`; else as [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Guard> {
        Ok(Guard::new(&self.runtime, self.runtime.run(self.semaphore.acquire_timeout(limit))?))
    }

    /// Reads the holders and the waiters.
    ///
    /// # Errors
    /// As [`Semaphore::inspect`](crate::Semaphore::inspect).
    pub fn inspect(&self) -> Result<Queue> {
        self.runtime.run(self.semaphore.inspect())
    }
}
