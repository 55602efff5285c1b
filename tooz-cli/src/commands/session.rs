//! One session for a command that runs no other command: it is closed on every way out.

use std::time::Duration;

use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tooz::Coordinator;

use super::held::close;
use crate::backend::Backend;
use crate::exit::{Failure, Result, SIGNALED};
use crate::output::say;

/// The signals that end a command in order, with their numbers.
const ENDING: [(SignalKind, u8); 3] =
    [(SignalKind::hangup(), 1), (SignalKind::interrupt(), 2), (SignalKind::terminate(), 15)];

/// How long a cleanup may take.
const CLEANUP: Duration = Duration::from_secs(2);

/// Connects, works and closes. A signal ends the work and lets the session close.
pub(crate) async fn with_session<T>(backend: &Backend, work: impl AsyncFnOnce(&Coordinator) -> Result<T>) -> Result<T> {
    with_cleanup(backend, work, async |_| {}).await
}

/// The same with something to do between the work and the end of the session, also if the work has failed or a signal has
/// ended it.
pub(crate) async fn with_cleanup<T>(
    backend: &Backend,
    work: impl AsyncFnOnce(&Coordinator) -> Result<T>,
    clean_up: impl AsyncFnOnce(&Coordinator),
) -> Result<T> {
    let mut signaled = std::pin::pin!(signaled()?);
    let coordinator = tokio::select! {
        failure = &mut signaled => return Err(failure),
        connected = backend.connect() => connected?,
    };
    let outcome = tokio::select! {
        failure = &mut signaled => Err(failure),
        outcome = work(&coordinator) => outcome,
    };
    if timeout(CLEANUP, clean_up(&coordinator)).await.is_err() {
        say("warning", "the backend did not answer in time, so something may be left in it");
    }
    close(&coordinator, outcome.is_err()).await;
    outcome
}

/// Waits for a signal, and returns the failure with which it ends the program.
fn signaled() -> Result<impl Future<Output = Failure>> {
    let mut signals = Vec::new();
    for (kind, number) in ENDING {
        signals.push((signal(kind)?, number));
    }
    Ok(async move {
        let received =
            signals.iter_mut().map(|(signal, number)| Box::pin(async { signal.recv().await.map(|()| *number) }));
        let (number, ..) = select_all(received).await;
        Failure::new(SIGNALED + number.unwrap_or_default(), "")
    })
}
