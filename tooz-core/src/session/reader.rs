//! Reads one roster for all its watchers in one session, so that each change is read once, however many watchers wait.
//!
//! - One task reads the roster, one read after the other. No watcher is therefore shown an older state than before.
//! - Reads are numbered, and one counter holds the greatest number that a watcher has requested. The task reads only
//!   while that number exceeds the number of the read that it has begun last.
//! - A watcher that waits for a change requests the number after the last read; that read answers after the change.
//! - A new watcher skips a number. No read that has begun can have the number that it requests, so it receives a read
//!   that begins after the request. A read after a skipped number answers at once.
//! - The task publishes every state through one watch channel. An error ends it: the watchers that wait receive the error
//!   once, and the next watcher starts a new reader.

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
    states: watch::Receiver<ReadState>,
    requests: Arc<ReadRequests>,
}

/// What the task has read last.
#[derive(Debug, Default)]
struct ReadState {
    /// The number of the read.
    read: u64,
    /// Rises with every change of the roster.
    generation: u64,
    outcome: Option<Result<Arc<Snapshot>>>,
}

/// The greatest number of a read that a watcher has requested.
#[derive(Debug, Default)]
struct ReadRequests {
    greatest: AtomicU64,
    raised: Notify,
}

impl ReadRequests {
    fn greatest(&self) -> u64 {
        self.greatest.load(Ordering::SeqCst)
    }

    /// Requests the read with this number.
    fn request(&self, read: u64) {
        self.greatest.fetch_max(read, Ordering::SeqCst);
        self.raised.notify_one();
    }

    /// Requests a read that begins from now on, and returns its number.
    fn request_fresh(&self) -> u64 {
        let read = self.greatest.fetch_add(2, Ordering::SeqCst) + 2;
        self.raised.notify_one();
        read
    }

    /// Waits until a greater number than `read` is requested.
    async fn beyond(&self, read: u64) {
        while self.greatest() <= read {
            self.raised.notified().await;
        }
    }
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
        runtime.spawn(task.liveness.process().run(task.run()));
        Self { states, requests }
    }

    /// Whether the task has ended, so that only a new reader can read further.
    pub(crate) fn is_over(&self) -> bool {
        self.states.has_changed().is_err() || matches!(self.states.borrow().outcome, Some(Err(_)))
    }

    /// Returns a state and its generation: the next one after the generation `seen`, or one that is read from now on if
    /// nothing was seen. Cancel safe.
    ///
    /// # Errors
    /// The error that ended the task.
    pub(crate) async fn next(&self, seen: Option<u64>) -> Result<(u64, Arc<Snapshot>)> {
        let mut states = self.states.clone();
        let least_read = if self.needs_fresh(seen) { self.requests.request_fresh() } else { 0 };
        loop {
            {
                let state = states.borrow_and_update();
                let is_next = state.read >= least_read && seen.is_none_or(|seen| state.generation > seen);
                match &state.outcome {
                    Some(Ok(snapshot)) if is_next => return Ok((state.generation, snapshot.clone())),
                    Some(Err(error)) => return Err(error.clone()),
                    _ => self.requests.request(state.read + 1),
                }
            }
            if states.changed().await.is_err() {
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    "the task that reads the roster has ended; keep the runtime in which the coordinator connected",
                ));
            }
        }
    }

    /// Whether the newest state does not do: nothing was seen, or the task pauses and the roster may have changed since.
    fn needs_fresh(&self, seen: Option<u64>) -> bool {
        let newest = self.states.borrow();
        let pauses = self.requests.greatest() <= newest.read;
        seen.is_none_or(|seen| seen < newest.generation && pauses)
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
        tokio::select! {
            biased;
            () = self.states.closed() => {}
            () = self.read_on_request() => {}
        }
    }

    async fn read_on_request(&self) {
        let (mut read, mut generation, mut known) = (0, 0, None);
        loop {
            self.requests.beyond(read).await;
            let requested = self.requests.greatest();
            let is_fresh = requested > read + 1;
            read = requested;
            let outcome = tokio::select! {
                biased;
                // A read that waits for a change must not delay a fresh one.
                () = self.requests.beyond(read), if !is_fresh => continue,
                outcome = self.read(if is_fresh { None } else { known }) => outcome,
            };
            let failed = outcome.is_err();
            if let Ok(snapshot) = &outcome
                && known.replace(snapshot.version) != Some(snapshot.version)
            {
                generation += 1;
            }
            self.states.send_replace(ReadState { read, generation, outcome: Some(outcome.map(Arc::new)) });
            if failed {
                return;
            }
        }
    }

    async fn read(&self, newer_than: Option<Version>) -> Result<Snapshot> {
        retry(&self.liveness, None, || self.session.snapshot(&self.roster, newer_than)).await.result
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::{Coordinator, Result};

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_was_idle_is_shown_the_present_and_not_the_last_read() -> Result<()> {
        let a = Coordinator::builder("memory://reader").member("a").connect().await?;
        let b = Coordinator::builder("memory://reader").member("b").connect().await?;
        let (first, second) = (a.election("e"), b.election("e"));
        let (mut active, mut idle) = (first.observe(), first.observe());
        assert_eq!((active.next().await?, idle.next().await?), (None, None));
        let leadership = first.campaign().await?;
        assert_eq!(active.next().await?.map(|leader| leader.term), Some(leadership.term()));
        leadership.resign().await?;
        let leadership = second.campaign().await?;
        assert_eq!(idle.next().await?.map(|leader| leader.term), Some(leadership.term()));
        assert!(timeout(Duration::from_secs(60), idle.next()).await.is_err());
        assert_eq!(active.next().await?.map(|leader| leader.term), Some(leadership.term()));
        Ok(())
    }
}
