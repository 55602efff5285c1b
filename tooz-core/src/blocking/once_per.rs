//! Jobs that run once in a period, in the blocking API.

use std::sync::Arc;

use super::calls::run_with;
use super::lock::{Guard, Lock};
use crate::{CancellationToken, Error, Period, Result};

impl Lock {
    /// Calls `job` once in each period over all clients that call this, until `shutdown` is cancelled; see
    /// [`Lock::once_per`](crate::Lock::once_per).
    ///
    /// A thread cannot be interrupted, so let `job` check [`is_held`](Guard::is_held) and `shutdown` before each step, and
    /// return when the lock is lost or `shutdown` is cancelled. After a loss the result of `job` is dropped.
    ///
    /// # Errors
    /// As [`Lock::once_per`](crate::Lock::once_per), and `Unsupported` in a thread of an async runtime.
    pub fn once_per<E: From<Error>>(
        &self,
        period: impl Into<Period>,
        shutdown: &CancellationToken,
        job: impl FnMut(&Guard) -> Result<(), E>,
    ) -> Result<(), E> {
        run_with(&self.runtime, self.with_guard(job), |job| self.lock.once_per(period, shutdown, job))
    }

    /// Calls `job` unless the present period has had its run, and returns whether it did; see
    /// [`Lock::once_in`](crate::Lock::once_in).
    ///
    /// # Errors
    /// As [`Lock::once_in`](crate::Lock::once_in), and `Unsupported` in a thread of an async runtime.
    pub fn once_in<E: From<Error>>(
        &self,
        period: impl Into<Period>,
        job: impl FnMut(&Guard) -> Result<(), E>,
    ) -> Result<bool, E> {
        run_with(&self.runtime, self.with_guard(job), |job| self.lock.once_in(period, job))
    }

    fn with_guard<E>(
        &self,
        mut job: impl FnMut(&Guard) -> Result<(), E>,
    ) -> impl FnMut(Arc<crate::Guard>) -> Result<(), E> {
        move |guard| job(&Guard::new(&self.runtime, guard))
    }
}
