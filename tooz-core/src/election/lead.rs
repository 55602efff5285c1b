//! Working while this client leads, for as long as the program runs.
//!
//! - Campaign. When elected, run the work; at the loss of the leadership, drop it.
//! - After a loss, or an error that may pass, campaign again after a pause. The pauses grow, and start anew with each term.
//! - When the work ends or the program shuts down, resign first, so that the next candidate leads at once.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::election::Election;
use super::leadership::Leadership;
use crate::session::retry::Backoff;
use crate::{Error, Result};

/// How a term ended.
enum EndOfTerm<E> {
    /// The work ended by itself.
    Done(Result<(), E>),
    Lost(Error),
    ShutDown,
}

impl Election {
    /// Campaigns, and runs `work` whenever this client leads, until the work ends or `shutdown` is cancelled.
    ///
    /// - At a loss of the leadership, `work` is dropped at its present await. The client campaigns again, and calls `work`
    ///   again when it is elected again.
    /// - When `shutdown` is cancelled, `work` is dropped, the leadership resigned, and the call returns `Ok`. If the work
    ///   has something to finish first, let it watch a token of its own and return.
    /// - When `work` returns, the leadership is resigned, and the call returns the result.
    ///
    /// After a resignation the next candidate leads at once. If you drop the future, `work` is dropped, and the
    /// leadership is resigned in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tooz_core::Error> {
    /// # let coordinator = tooz_core::connect("memory://lead-doc").await?;
    /// use tooz_core::CancellationToken;
    ///
    /// let shutdown = CancellationToken::new(); // cancel it when the program receives SIGTERM
    /// let schedule = |leadership: std::sync::Arc<tooz_core::Leadership>| async move {
    ///     println!("leading in term {}", leadership.term());
    ///     Ok::<_, tooz_core::Error>(()) // a service would not return
    /// };
    /// coordinator.election("scheduler").lead(&shutdown, schedule).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// - The error of `work`.
    /// - `Closed`, `InvalidName`, `AuthFailed` and others that no retry can resolve, converted into the same type.
    ///   After `Unavailable`, `SessionLost` and `NotHeld` it tries again instead.
    pub async fn lead<F, E>(
        &self,
        shutdown: &CancellationToken,
        mut work: impl FnMut(Arc<Leadership>) -> F,
    ) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
        E: From<Error>,
    {
        let mut backoff = Backoff::patient();
        while let Some(campaign) = shutdown.run_until_cancelled(self.campaign()).await {
            match campaign {
                Ok(leadership) => {
                    backoff = Backoff::patient();
                    match self.serve(Arc::new(leadership), shutdown, &mut work).await {
                        EndOfTerm::Done(result) => return result,
                        EndOfTerm::ShutDown => return Ok(()),
                        EndOfTerm::Lost(cause) => warn!(%cause, "lost the leadership; campaigning again"),
                    }
                }
                Err(error) if error.may_pass() => warn!(%error, "failed to campaign; trying again"),
                Err(error) => return Err(error.with_operation("lead").into()),
            }
            if shutdown.run_until_cancelled(backoff.pause()).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Runs the work for one term, and resigns.
    async fn serve<F, E>(
        &self,
        leadership: Arc<Leadership>,
        shutdown: &CancellationToken,
        work: &mut impl FnMut(Arc<Leadership>) -> F,
    ) -> EndOfTerm<E>
    where
        F: Future<Output = Result<(), E>>,
    {
        info!(election = %leadership.name(), term = %leadership.term(), "leading");
        let end = tokio::select! {
            biased;
            cause = leadership.lost() => EndOfTerm::Lost(cause),
            () = shutdown.cancelled() => EndOfTerm::ShutDown,
            result = work(leadership.clone()) => EndOfTerm::Done(result),
        };
        if let Err(error) = leadership.resign_shared().await
            && error.may_pass()
            && !matches!(end, EndOfTerm::Lost(_))
        {
            warn!(%error, "failed to resign; it continues in the background");
        }
        end
    }
}
