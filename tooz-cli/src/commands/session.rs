//! One session for a command that runs no other command: it is closed on every way out.

use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};
use tooz::Coordinator;

use super::held::close;
use crate::backend::Backend;
use crate::exit::{Failure, Result, SIGNALED};

/// The signals that end a command in order, with their numbers.
const ENDING: [(SignalKind, u8); 3] =
    [(SignalKind::hangup(), 1), (SignalKind::interrupt(), 2), (SignalKind::terminate(), 15)];

/// Connects, works and closes. A signal ends the work and lets the session close.
pub(crate) async fn with_session<T>(backend: &Backend, work: impl AsyncFnOnce(&Coordinator) -> Result<T>) -> Result<T> {
    let mut signaled = std::pin::pin!(signaled()?);
    let coordinator = tokio::select! {
        failure = &mut signaled => return Err(failure),
        connected = backend.connect() => connected?,
    };
    let outcome = tokio::select! {
        failure = &mut signaled => Err(failure),
        outcome = work(&coordinator) => outcome,
    };
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
