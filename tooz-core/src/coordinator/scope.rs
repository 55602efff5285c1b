//! A coordinator for the length of one future. It is closed on every way out, so the program leaves nothing behind.
//!
//! - The future ends, with a value or an error: the coordinator is closed before the result is returned.
//! - It panics: the coordinator is closed, then the panic continues.
//! - The caller drops it: the coordinator closes in the background, provided that the runtime continues to run.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;

use super::builder::Builder;
use super::handle::Coordinator;
use crate::{Error, Result};

/// Connects, runs `body` with the coordinator, and closes the coordinator on every way out of `body`.
///
/// `backend` is a URL or a [`Builder`]. When `scope` returns, the backend has released everything that the coordinator
/// held, and other clients need not wait for its TTL. That is true for a result, for an error and for a panic, which
/// continues after the close.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// tooz_core::scope("memory://scope-doc", |coordinator| async move {
///     let guard = coordinator.lock("nightly").acquire().await?;
///     guard.run(async { Ok::<_, tooz_core::Error>(()) }).await // the guard is dropped, the coordinator closed
/// })
/// .await
/// # }
/// ```
///
/// If you drop the future, `body` is dropped, and the coordinator closes in the background. A runtime that is shut down
/// at the same time may end before that; see [`Guard`](crate::Guard) for what is left then.
///
/// # Errors
/// The error of `body`, or why the coordinator could not [connect](Builder::connect), converted into the same type.
pub async fn scope<T, E, F>(backend: impl Into<Builder>, body: impl FnOnce(Coordinator) -> F) -> Result<T, E>
where
    E: From<Error>,
    F: Future<Output = Result<T, E>>,
{
    let coordinator = backend.into().connect().await?;
    let closing = CloseOnDrop(coordinator.clone());
    // The closure itself may panic, too.
    let outcome = AssertUnwindSafe(async { body(coordinator).await }).catch_unwind().await;
    closing.0.close().await;
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Begins to close the coordinator when it is dropped.
struct CloseOnDrop(Coordinator);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.supervisor().close();
    }
}

impl From<&str> for Builder {
    fn from(url: &str) -> Self {
        Coordinator::builder(url)
    }
}

impl From<&String> for Builder {
    fn from(url: &String) -> Self {
        Coordinator::builder(url)
    }
}

impl From<String> for Builder {
    fn from(url: String) -> Self {
        Coordinator::builder(url)
    }
}
