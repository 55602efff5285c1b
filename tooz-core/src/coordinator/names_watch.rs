//! Watching for names that come into use.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::handle::Coordinator;
use super::target::run_operation;
use crate::{Error, Result};

/// Says when a name comes into use, so that a list of names need not be read again and again.
///
/// When a name comes into use:
/// - a lock, semaphore or election: with the first holder or waiter,
/// - a group: with its creation or its first member,
/// - a topic: with its first message.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://names-watch-doc").await?;
/// let mut watch = coordinator.watch_names();
/// watch.changed().await?; // the watch has begun, so the list below misses no later name
/// assert!(coordinator.locks().all().await?.is_empty());
/// let _guard = coordinator.lock("nightly").acquire().await?;
/// watch.changed().await?;
/// assert_eq!(coordinator.locks().all().await?, ["nightly"]);
/// # Ok(()) }
/// ```
pub struct NamesWatch {
    coordinator: Coordinator,
    changed: Arc<Notify>,
    /// Notifies `changed` while it is polled.
    watching: BoxFuture<'static, Error>,
}

impl Coordinator {
    /// Watches for names that come into use.
    ///
    /// For all drivers of this project, the backend sends a notification when a name comes into use, and otherwise
    /// nothing. Other drivers may list the names at an interval.
    pub fn watch_names(&self) -> NamesWatch {
        let changed = Arc::<Notify>::default();
        NamesWatch { coordinator: self.clone(), watching: watch(self.clone(), changed.clone()), changed }
    }
}

impl NamesWatch {
    /// Waits until a name may have come into use since the last call. The first call returns as soon as the watch has
    /// begun, and so does the next one after the session was replaced: list the names then.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// `Closed`; any error of the backend but `Unavailable` and `SessionLost`, which the watch survives. After an error,
    /// the next call begins another watch.
    pub async fn changed(&mut self) -> Result<()> {
        let Self { coordinator, changed, watching } = self;
        let next = async {
            tokio::select! {
                biased;
                () = changed.notified() => Ok(()),
                error = watching => Err(error),
            }
        };
        let outcome = run_operation(coordinator, "watch_names", None, next).await;
        if outcome.is_err() {
            *self = self.coordinator.watch_names();
        }
        outcome
    }
}

/// Watches through all sessions of the coordinator, and returns the error that ends the watch.
fn watch(coordinator: Coordinator, changed: Arc<Notify>) -> BoxFuture<'static, Error> {
    Box::pin(async move {
        let notify = move || changed.notify_one();
        loop {
            let live = match coordinator.live().await {
                Ok(live) => live,
                Err(error) if error.is_retryable() => continue,
                Err(error) => return error,
            };
            let Err(error) = live.wait(|session| session.watch_names(&notify)).await;
            if !error.is_session_lost() {
                return error;
            }
        }
    })
}

impl fmt::Debug for NamesWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamesWatch").field("coordinator", &self.coordinator).finish_non_exhaustive()
    }
}
