//! Several locks at once, in the blocking API.

use std::convert::Infallible;
use std::time::Duration;

use super::coordinator::Coordinator;
use super::runtime::Runtime;
use crate::{Error, FencingToken, Result};

impl Coordinator {
    /// All locks with these names, to be acquired together; see [`Coordinator::lock_all`](crate::Coordinator::lock_all).
    #[must_use]
    pub fn lock_all<N: AsRef<[u8]>>(&self, names: impl IntoIterator<Item = N>) -> LockSet {
        LockSet { runtime: self.runtime.clone(), locks: self.inner().lock_all(names) }
    }
}

/// Several locks that are acquired together; see [`tooz_core::LockSet`](crate::LockSet).
#[derive(Clone, Debug)]
pub struct LockSet {
    runtime: Runtime,
    locks: crate::LockSet,
}

impl LockSet {
    /// The same locks; their entries show `info` to every client. See [`Lock::with_info`](crate::Lock::with_info).
    #[must_use]
    pub fn with_info(&self, info: impl AsRef<[u8]>) -> Self {
        Self { locks: self.locks.with_info(info), ..self.clone() }
    }

    /// The same locks with a greatest hold time; see [`Lock::with_greatest_hold`](crate::Lock::with_greatest_hold).
    #[must_use]
    pub fn with_greatest_hold(&self, time: Duration) -> Self {
        Self { locks: self.locks.with_greatest_hold(time), ..self.clone() }
    }

    /// Waits for all locks, for as long as it takes.
    ///
    /// # Errors
    /// As [`LockSet::acquire`](crate::LockSet::acquire).
    pub fn acquire(&self) -> Result<GuardSet> {
        Ok(self.guards(self.runtime.run(self.locks.acquire())?))
    }

    /// Acquires all locks if they are free at this moment.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<GuardSet>> {
        let guards = self.runtime.run(self.locks.try_acquire())?;
        Ok(guards.map(|guards| self.guards(guards)))
    }

    /// Waits for all locks together, at most for `limit`.
    ///
    /// # Errors
    /// `Timeout`; else as [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, limit: Duration) -> Result<GuardSet> {
        Ok(self.guards(self.runtime.run(self.locks.acquire_timeout(limit))?))
    }

    fn guards(&self, guards: crate::GuardSet) -> GuardSet {
        GuardSet { guards, runtime: self.runtime.clone() }
    }
}

/// All locks of a [`LockSet`], held together. Dropping it releases them in the background; see
/// [`tooz_core::GuardSet`](crate::GuardSet).
#[derive(Debug)]
#[must_use = "dropping a guard releases what it holds"]
pub struct GuardSet {
    // Fields are dropped in this order: the runtime ends last.
    guards: crate::GuardSet,
    runtime: Runtime,
}

impl GuardSet {
    /// The fencing token of the lock with this name; `None` if the set does not contain it.
    pub fn fencing_token(&self, name: impl AsRef<[u8]>) -> Option<FencingToken> {
        self.guards.fencing_token(name)
    }

    /// Whether you may rely on all locks at this moment. Sends nothing.
    pub fn is_held(&self) -> bool {
        self.guards.is_held()
    }

    /// For how long you may rely on all locks; see [`GuardSet::remaining`](crate::GuardSet::remaining).
    pub fn remaining(&self) -> Option<Duration> {
        self.guards.remaining()
    }

    /// Waits until one of the locks is lost and returns the cause; `Unsupported` in a thread of an async runtime.
    pub fn lost(&self) -> Error {
        let Err(cause) = self.runtime.run(async { Err::<Infallible, _>(self.guards.lost().await) });
        cause
    }

    /// Asks the backend whether it still has the entries of all locks.
    ///
    /// # Errors
    /// As [`GuardSet::verify`](crate::GuardSet::verify).
    pub fn verify(&self) -> Result<()> {
        self.runtime.run(self.guards.verify())
    }

    /// Releases all locks. Success means that all were held until now.
    ///
    /// # Errors
    /// As [`GuardSet::release`](crate::GuardSet::release).
    pub fn release(self) -> Result<()> {
        let Self { guards, runtime } = self;
        runtime.run(guards.release())
    }
}
