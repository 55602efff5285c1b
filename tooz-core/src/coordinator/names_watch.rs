//! Watching for names that come into use.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::handle::Coordinator;
use super::target::run_operation;
use crate::driver::NewName;
use crate::driver::support::lock;
use crate::{Error, Result};

/// How many names are kept for a watch that is not polled. With more it lists them.
const KEPT: usize = 1024;

/// Says which names come into use, so that a list of names need not be read again and again.
///
/// When a name comes into use:
/// - a lock, semaphore or election: with the first holder or waiter,
/// - a group: with its creation or its first member,
/// - a topic: with its first message.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # use tooz_core::NewName;
/// # let coordinator = tooz_core::connect("memory://names-watch-doc").await?;
/// let mut watch = coordinator.watch_names();
/// // The watch has begun, so the list below misses no later name.
/// assert_eq!(watch.next().await?, NewName::Any);
/// assert!(coordinator.locks().all().await?.is_empty());
/// let guard = coordinator.lock("nightly").acquire().await?;
/// assert_eq!(watch.next().await?, NewName::Lock(guard.name().clone()));
/// # Ok(()) }
/// ```
pub struct NamesWatch {
    coordinator: Coordinator,
    pending: Arc<Pending>,
    /// Adds to `pending` while it is polled.
    watching: BoxFuture<'static, Error>,
}

/// The names that the caller has not taken yet.
#[derive(Debug, Default)]
struct Pending {
    names: Mutex<BTreeSet<NewName>>,
    added: Notify,
}

impl Coordinator {
    /// Watches for names that come into use.
    ///
    /// For all drivers of this project, the backend sends a notification when a name comes into use, and otherwise
    /// nothing. Other drivers may list the names at an interval.
    pub fn watch_names(&self) -> NamesWatch {
        let pending = Arc::<Pending>::default();
        NamesWatch { coordinator: self.clone(), watching: watch(self.clone(), pending.clone()), pending }
    }
}

impl NamesWatch {
    /// Waits for a name that has come into use since it was last returned. A name that was in use may be returned, too.
    ///
    /// [`NewName::Any`] asks for a listing of all names. The first call returns it as soon as the watch has begun. It is
    /// returned again after the session was replaced, when the backend may have missed a name or does not say which it is,
    /// and when too many names came into use between two calls.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// `Closed`; any error of the backend but `Unavailable` and `SessionLost`, which the watch survives. After an error,
    /// the next call begins another watch.
    pub async fn next(&mut self) -> Result<NewName> {
        let Self { coordinator, pending, watching } = self;
        let next = async {
            tokio::select! {
                biased;
                name = pending.next() => Ok(name),
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

impl Pending {
    /// Adds a name. [`NewName::Any`] stands for all others.
    fn add(&self, name: NewName) {
        let mut names = lock(&self.names);
        let name = if names.len() < KEPT { name } else { NewName::Any };
        if name == NewName::Any {
            names.clear();
        }
        if !names.contains(&NewName::Any) {
            names.insert(name);
        }
        self.added.notify_one();
    }

    /// Takes a name as soon as there is one.
    async fn next(&self) -> NewName {
        loop {
            let name = lock(&self.names).pop_first();
            match name {
                Some(name) => return name,
                None => self.added.notified().await,
            }
        }
    }
}

/// Watches through all sessions of the coordinator, and returns the error that ends the watch.
fn watch(coordinator: Coordinator, pending: Arc<Pending>) -> BoxFuture<'static, Error> {
    Box::pin(async move {
        let add = move |name| pending.add(name);
        loop {
            let live = match coordinator.live().await {
                Ok(live) => live,
                Err(error) if error.is_retryable() => continue,
                Err(error) => return error,
            };
            let Err(error) = live.wait(|session| session.watch_names(&add)).await;
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
