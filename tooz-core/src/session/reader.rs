//! Reads one roster for all its watchers in one session, so that each change is read once, however many watchers wait.
//!
//! - One task reads the roster, one read after the other. No watcher is therefore shown an older state than before.
//! - A new watcher requests a *fresh* read, which begins after the request and answers at once. A watcher that has the
//!   newest state waits for a read that answers after the next change.
//! - The task reads only while a watcher waits. It publishes every state through one watch channel.
//! - An error ends the task. Watchers that wait receive it once; the next watcher starts a new reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::liveness::Liveness;
use super::retry::retry;
use crate::driver::{Roster, Session, Snapshot, Version};
use crate::{Error, ErrorKind, Result};

/// The shared reader of one roster. Its task ends with the session, or when the last watcher drops the reader.
#[derive(Debug)]
pub(crate) struct RosterReader {
    /// Each watcher that waits clones this receiver, so the task sees from the count whether one waits.
    states: watch::Receiver<ReadState>,
    requests: Arc<ReadRequests>,
}

/// What the task has read last.
#[derive(Debug, Default)]
struct ReadState {
    /// How many requests for a fresh read this state answers.
    answered: u64,
    /// Rises with every change of the roster.
    generation: u64,
    /// Whether the task pauses because no watcher waits, so that the roster may have changed since.
    paused: bool,
    outcome: Option<Result<Arc<Snapshot>>>,
}

/// What the watchers ask of the task.
#[derive(Debug, Default)]
struct ReadRequests {
    /// The number of fresh reads that watchers have requested.
    fresh: AtomicU64,
    /// Wakes the task: a watcher has begun to wait.
    wake: Notify,
}

impl RosterReader {
    /// Starts the task in the runtime of the session, since the runtimes of watchers may end earlier.
    pub(crate) fn start(
        runtime: &Handle,
        session: Arc<dyn Session>,
        liveness: Arc<Liveness>,
        roster: Arc<Roster>,
    ) -> Self {
        let (sender, states) = watch::channel(ReadState::default());
        let requests = Arc::<ReadRequests>::default();
        let task = ReaderTask { session, liveness, roster, requests: requests.clone(), states: sender };
        runtime.spawn(task.run());
        Self { states, requests }
    }

    /// Whether the task has ended, so that only a new reader can read further.
    pub(crate) fn is_over(&self) -> bool {
        self.states.has_changed().is_err() || matches!(self.states.borrow().outcome, Some(Err(_)))
    }

    /// Returns the next state and its generation: after the generation `seen`, or read from now on if nothing was seen.
    /// Cancel safe.
    ///
    /// # Errors
    /// The error that ended the task.
    pub(crate) async fn next(&self, seen: Option<u64>) -> Result<(u64, Arc<Snapshot>)> {
        let mut states = self.states.clone();
        let needs_fresh = {
            let newest = states.borrow();
            seen.is_none_or(|seen| seen < newest.generation && newest.paused)
        };
        let request = if needs_fresh { self.requests.fresh.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        self.requests.wake.notify_one();
        let is_next = |state: &ReadState| match &state.outcome {
            Some(Ok(_)) => state.answered >= request && seen.is_none_or(|seen| state.generation > seen),
            Some(Err(_)) => true,
            None => false,
        };
        match states.wait_for(is_next).await.as_deref() {
            Ok(ReadState { generation, outcome: Some(Ok(snapshot)), .. }) => Ok((*generation, snapshot.clone())),
            Ok(ReadState { outcome: Some(Err(error)), .. }) => Err(error.clone()),
            _ => Err(Error::new(
                ErrorKind::Unexpected,
                "the task that reads the roster has ended; has the runtime in which the coordinator connected ended?",
            )),
        }
    }
}

/// The task that reads.
struct ReaderTask {
    session: Arc<dyn Session>,
    liveness: Arc<Liveness>,
    roster: Arc<Roster>,
    requests: Arc<ReadRequests>,
    states: watch::Sender<ReadState>,
}

impl ReaderTask {
    async fn run(self) {
        let (mut answered, mut generation, mut known) = (0, 0, None);
        loop {
            let requested = self.requests.fresh.load(Ordering::SeqCst);
            let fresh = requested > answered;
            if !fresh && !self.a_watcher_waits() {
                match self.pause().await {
                    true => continue,
                    false => return,
                }
            }
            let outcome = tokio::select! {
                biased;
                () = self.states.closed() => return,
                // A read that waits for a change would let the fresh read wait as well.
                () = self.requested_since(requested), if !fresh => continue,
                outcome = self.read(if fresh { None } else { known }) => outcome,
            };
            let failed = outcome.is_err();
            if let Ok(snapshot) = &outcome
                && known.replace(snapshot.version) != Some(snapshot.version)
            {
                generation += 1;
            }
            answered = requested;
            let outcome = Some(outcome.map(Arc::new));
            self.states.send_replace(ReadState { answered, generation, paused: false, outcome });
            if failed {
                return;
            }
        }
    }

    async fn read(&self, newer_than: Option<Version>) -> Result<Snapshot> {
        retry(&self.liveness, None, || self.session.snapshot(&self.roster, newer_than)).await.result
    }

    /// Whether there is a receiver besides the one of the [`RosterReader`] itself.
    fn a_watcher_waits(&self) -> bool {
        self.states.receiver_count() > 1
    }

    /// Waits until a watcher begins to wait. Returns `false` if the last watcher has dropped the reader.
    async fn pause(&self) -> bool {
        self.set_paused(true);
        let woken = tokio::select! {
            biased;
            () = self.states.closed() => false,
            () = self.requests.wake.notified() => true,
        };
        self.set_paused(false);
        woken
    }

    fn set_paused(&self, paused: bool) {
        self.states.send_if_modified(|state| {
            state.paused = paused;
            false
        });
    }

    /// Waits until more fresh reads are requested than `requested`.
    async fn requested_since(&self, requested: u64) {
        while self.requests.fresh.load(Ordering::SeqCst) == requested {
            self.requests.wake.notified().await;
        }
    }
}
