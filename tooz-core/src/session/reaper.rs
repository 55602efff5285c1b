//! Removes entries that their owners no longer want, in the background.
//!
//! A dropped guard, and a dropped or failed acquisition, cannot wait for the backend. They hand their entry to the
//! reaper of their session, which repeats the removal until it succeeds or the session is lost. A lost session needs
//! no removal: its entries go with it.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::sync::mpsc;
use tracing::warn;

use super::liveness::Liveness;
use super::retry::retry;
use crate::driver::{Nonce, Roster, Session, Ticket};

/// How many removals are under way at once.
const CONCURRENCY: usize = 32;

/// An entry to remove.
#[derive(Debug)]
pub(crate) enum Removal {
    /// The entry is in the roster as this ticket says.
    Leave(Arc<Roster>, Ticket),
    /// The entry may be in the roster, or a request that enters it may still be under way.
    Withdraw(Arc<Roster>, Nonce),
}

/// Hands removals to the task that carries them out. The task ends when the reaper is dropped and all is removed.
#[derive(Debug)]
pub(crate) struct Reaper {
    removals: mpsc::UnboundedSender<Removal>,
}

impl Reaper {
    /// Starts the task in the current runtime.
    pub(crate) fn start(session: Arc<dyn Session>, liveness: Arc<Liveness>) -> Self {
        let (removals, receiver) = mpsc::unbounded_channel();
        tokio::spawn(liveness.process().run(run(session, liveness, receiver)));
        Self { removals }
    }

    /// Removes an entry in the background.
    pub(crate) fn remove(&self, removal: Removal) {
        // The task is gone only after the loss of the session, and then so are its entries.
        let _ = self.removals.send(removal);
    }
}

async fn run(session: Arc<dyn Session>, liveness: Arc<Liveness>, receiver: mpsc::UnboundedReceiver<Removal>) {
    let removals = unfold(receiver, |mut receiver| async { receiver.recv().await.map(|removal| (removal, receiver)) });
    let removing = removals.for_each_concurrent(CONCURRENCY, |removal| remove(&*session, &liveness, removal));
    tokio::select! { biased; () = liveness.loss_recorded() => {}, () = removing => {} }
}

async fn remove(session: &dyn Session, liveness: &Liveness, removal: Removal) {
    let outcome = retry(liveness, None, async || match &removal {
        Removal::Leave(roster, ticket) => session.leave(roster, ticket).await.map(|_| ()),
        Removal::Withdraw(roster, nonce) => session.withdraw(roster, *nonce).await,
    });
    match outcome.await.result {
        Err(error) if !error.is_session_lost() && !error.is_closed() => {
            warn!(%error, ?removal, "failed to remove an entry; it stays in the queue until the session ends");
        }
        _ => {}
    }
}
