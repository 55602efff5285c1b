//! Repeats requests that failed because the backend was not available.
//!
//! A request is sent again after exponentially growing pauses until it succeeds or fails for another reason, the session
//! is lost, or the time limit has passed. A reply can be lost after the backend has carried out the request. A caller
//! that must know whether *its* request took effect therefore also learns whether it was repeated.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::liveness::Liveness;
use crate::{Error, Result};

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    /// The result of the last attempt.
    pub(crate) result: Result<T>,
    /// Whether the request was sent more than once, so that an earlier attempt may have taken effect.
    pub(crate) repeated: bool,
}

impl Outcome<bool> {
    /// Whether the request took effect, for a request that returns whether it changed anything. A repeated request that
    /// finds nothing to change follows an attempt whose reply was lost, so it counts as a change.
    pub(crate) fn took_effect(self) -> Result<bool> {
        self.result.map(|changed| changed || self.repeated)
    }
}

/// Sends a request again and again while the backend is not available, for at most `patience` if there is a limit.
///
/// # Errors
/// The cause of the loss if the session is lost; else the error of the last attempt.
pub(crate) async fn retry<T, F>(
    liveness: &Liveness,
    patience: Option<Duration>,
    mut request: impl FnMut() -> F,
) -> Outcome<T>
where
    F: Future<Output = Result<T>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
    let mut repeated = false;
    let mut first_failure = None;
    loop {
        let result = attempt(liveness, request()).await;
        let retryable = result.as_ref().is_err_and(Error::is_retryable);
        let now = Instant::now();
        if !retryable || patience.is_some_and(|patience| now - *first_failure.get_or_insert(now) >= patience) {
            return Outcome { result, repeated };
        }
        debug!(error = ?result.err(), "the backend is not available; the request is repeated after a pause");
        backoff.pause().await;
        repeated = true;
    }
}

/// Sends a request once, unless the session is lost. If it is lost before the reply, the result is the cause of the loss.
pub(crate) async fn attempt<T>(liveness: &Liveness, request: impl Future<Output = Result<T>>) -> Result<T> {
    if let Some(cause) = liveness.recorded_loss() {
        return Err(cause);
    }
    let result = tokio::select! {
        biased;
        result = liveness.process().run(request) => result.flatten(),
        () = liveness.loss_recorded() => return Err(liveness.cause()),
    };
    result.map_err(|error| {
        if error.is_session_lost() {
            liveness.lose(error.clone());
        }
        // The first cause counts: the driver cannot know that the coordinator was closed.
        let is_over = error.is_session_lost() || error.is_retryable();
        if is_over && !liveness.is_alive() { liveness.cause() } else { error }
    })
}

/// Pauses between attempts; each is twice as long as the one before, up to a limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// The first pause lasts `first`, and none longer than `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// From 100 ms to 10 s: for work that lasts as long as the program.
    pub(crate) fn patient() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(10))
    }

    /// Waits for the next pause.
    pub(crate) async fn pause(&mut self) {
        sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}
