//! The guard of a lock or permit.

use std::time::Duration;

use super::token::FencingToken;
use crate::coordinator::Coordinator;
use crate::entry::HeldEntry;
use crate::{Error, Name, Result};

/// A lock or permit that is held. Dropping it releases it in the background.
///
/// It is held until you release it or it is [lost](Guard::lost). It is lost when
/// - no renewal of the session succeeds for nine tenths of the TTL,
/// - it was held for its [greatest hold time](crate::Lock::with_greatest_hold),
/// - the backend ends the session, because an operator forced it or the server has lost its data, or
/// - another client [breaks the lock](crate::Lock::break_lock).
///
/// In the first two cases the guard reports the loss before the backend can grant the lock to another client. In the
/// other two it reports the loss as soon as the backend has, which may be after the next grant.
///
/// A program that ends without [`Coordinator::close`] also ends without a release. The backend then keeps what the
/// program held until the TTL has passed, or on `file` until the process has ended. Dropping the guard at the end of
/// `main` does not help, because the background task that would release it ends with the runtime. So close the
/// coordinator on every way out, as [`scope`](crate::scope) does.
///
/// There are three ways to react to a loss, the simplest first: [`run`](Guard::run) cancels your work,
/// [`lost`](Guard::lost) is a future for `select!`, and [`is_held`](Guard::is_held) answers at once.
#[derive(Debug)]
#[must_use = "dropping a guard releases what it holds"]
pub struct Guard {
    entry: HeldEntry,
}

impl Guard {
    pub(super) fn new(entry: HeldEntry) -> Self {
        Self { entry }
    }

    /// The fencing token of this grant. It is greater than the token of every earlier grant.
    pub fn fencing_token(&self) -> FencingToken {
        self.entry.ticket().seq.into()
    }

    /// Whether you may rely on the guard at this moment. Compares the clock with the deadline; sends nothing.
    pub fn is_held(&self) -> bool {
        self.entry.is_held()
    }

    /// For how long you may rely on the guard if no further renewal succeeds. Zero if it is lost; `None` if the backend
    /// notices a crash without a timeout and the guard has no greatest hold time.
    pub fn remaining(&self) -> Option<Duration> {
        self.entry.remaining()
    }

    /// Waits until the guard is lost and returns the cause, a `SessionLost`, `NotHeld` or `Closed` error. Cancel safe.
    pub async fn lost(&self) -> Error {
        self.entry.lost().await
    }

    /// Runs `work` and returns its result. If the guard is lost first, drops `work` and returns the loss as the error.
    ///
    /// The error may be any type that is made `From` [`Error`](crate::Error), so one `?` passes on both. A loss is such a
    /// converted error; whatever `work` returns stays as it is. If `work` returns `tooz_core::Error` itself,
    /// [`is_held`](Self::is_held) tells the two apart: it is false after a loss.
    ///
    /// ```
    /// #[derive(Debug)]
    /// enum JobError {
    ///     LockLost(tooz_core::Error),
    ///     NoInput,
    /// }
    ///
    /// impl From<tooz_core::Error> for JobError {
    ///     fn from(error: tooz_core::Error) -> Self {
    ///         Self::LockLost(error)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), JobError> {
    /// # let coordinator = tooz_core::connect("memory://guard-doc").await?;
    /// let guard = coordinator.lock("nightly").acquire().await?;
    /// let rows = guard.run(async { Ok::<_, JobError>(42) }).await?;
    /// assert_eq!(rows, 42);
    /// let failed = guard.run(async { Err::<(), _>(JobError::NoInput) }).await;
    /// assert!(matches!(failed, Err(JobError::NoInput)) && guard.is_held());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The error of `work`, or the cause of the [loss](Self::lost) converted into the same type.
    pub async fn run<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.entry.run(work).await.unwrap_or_else(|error| Err(error.with_operation("run").into()))
    }

    /// Asks the backend whether it still has the entry of this guard. One request.
    ///
    /// # Errors
    /// - `NotHeld`, `SessionLost`, `Closed`: the guard is lost, and [`lost`](Self::lost) resolves.
    /// - `Unavailable`: the backend did not answer.
    pub async fn verify(&self) -> Result<()> {
        self.entry.verify().await.map_err(|error| error.with_operation("verify"))
    }

    /// Releases what the guard holds. Success means that it was held until now.
    ///
    /// Cancel safe: if you drop the future, the release continues in the background.
    ///
    /// # Errors
    /// - `NotHeld`, `SessionLost`, `Closed`: the guard was lost before, so your work may have overlapped with another holder's.
    /// - `Unavailable`: the backend did not answer; the release continues in the background.
    pub async fn release(self) -> Result<()> {
        self.release_shared().await
    }

    /// As [`release`](Self::release), while others may still have a reference. For them the guard is lost.
    pub(crate) async fn release_shared(&self) -> Result<()> {
        self.entry.release().await.map_err(|error| error.with_operation("release"))
    }

    /// The coordinator that acquired the guard.
    pub fn coordinator(&self) -> &Coordinator {
        self.entry.coordinator()
    }

    /// The name of the lock, semaphore or election.
    pub fn name(&self) -> &Name {
        &self.entry.roster().name
    }
}
