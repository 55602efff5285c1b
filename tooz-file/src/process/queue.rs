//! The way to the state of a directory: one lock, and one queue of jobs for the worker thread.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, TryLockError};

use tokio::sync::oneshot;
use tooz_core::driver::support::lock;

use super::state::State;
use crate::error::{Outcome, forked_in_use};

/// Something to do with the state. It returns its reply, which the worker sends once the state is unlocked: a caller that
/// forks after a reply then leaves no lock behind in the child.
pub(crate) type Job = Box<dyn FnOnce(&mut State) -> Reply + Send>;

/// Sends the result of a job to its caller.
pub(crate) type Reply = Box<dyn FnOnce() + Send>;

/// What an executor and its worker share.
#[derive(Debug)]
pub(crate) struct Queue {
    /// `None` once the worker has ended.
    state: Mutex<Option<State>>,
    jobs: Mutex<Jobs>,
    /// The worker sleeps at the other end.
    wake: UnixStream,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// The worker ends after the jobs that wait.
    stopping: bool,
    /// The worker has ended: no job is accepted any more.
    closed: bool,
    /// Dropped when the worker has ended.
    ends: Vec<oneshot::Sender<()>>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.waiting.len()).field("stopping", &self.stopping).finish()
    }
}

impl Queue {
    pub(crate) fn new(state: State, wake: UnixStream) -> Self {
        Self { state: Mutex::new(Some(state)), jobs: Mutex::default(), wake }
    }

    /// The state, for the worker. A panic of an earlier user rolled its transaction back, so the state is consistent.
    pub(crate) fn state(&self) -> MutexGuard<'_, Option<State>> {
        lock(&self.state)
    }

    /// The state, if no other thread uses it and no job waits.
    pub(crate) fn state_if_idle(&self) -> Option<MutexGuard<'_, Option<State>>> {
        if self.has_jobs() { None } else { self.state.try_lock().ok() }
    }

    /// Queues a job, or drops it if the worker has ended.
    pub(crate) fn push(&self, job: Job) {
        let mut jobs = lock(&self.jobs);
        if !jobs.closed {
            jobs.waiting.push_back(job);
            drop(jobs);
            self.wake_worker();
        }
    }

    pub(crate) fn has_jobs(&self) -> bool {
        !lock(&self.jobs).waiting.is_empty()
    }

    /// Takes the next job. Call it with the state locked, so that no caller overtakes the job.
    pub(crate) fn pop(&self) -> Option<Job> {
        lock(&self.jobs).waiting.pop_front()
    }

    pub(crate) fn wake_worker(&self) {
        // A full pipe means that the worker has been woken already.
        let _ = (&self.wake).write(&[0]);
    }

    /// Ends the worker after the jobs that wait. The receiver resolves when the state is closed.
    pub(crate) fn stop(&self) -> oneshot::Receiver<()> {
        let (end, ended) = oneshot::channel();
        let mut jobs = lock(&self.jobs);
        jobs.stopping = true;
        if !jobs.closed {
            jobs.ends.push(end);
        }
        drop(jobs);
        self.wake_worker();
        ended
    }

    pub(crate) fn is_stopping(&self) -> bool {
        lock(&self.jobs).stopping
    }

    /// Whether sessions can be added no more.
    pub(crate) fn has_ended(&self) -> bool {
        let jobs = lock(&self.jobs);
        jobs.stopping || jobs.closed
    }

    /// Closes the state and drops the jobs that wait, whose callers then learn that their session is over. Drop the result
    /// to tell the callers of [`stop`](Self::stop).
    pub(crate) fn close(&self) -> Vec<oneshot::Sender<()>> {
        let waiting = {
            let mut jobs = lock(&self.jobs);
            jobs.closed = true;
            std::mem::take(&mut jobs.waiting)
        };
        let state = self.state().take();
        drop(state);
        drop(waiting);
        std::mem::take(&mut lock(&self.jobs).ends)
    }

    /// Closes the copy of the state that a fork has made. Fails if a thread of the parent was using it at that moment,
    /// since that thread does not exist here.
    pub(crate) fn close_inherited(&self) -> Outcome<()> {
        let state = match self.state.try_lock() {
            Ok(mut state) => state.take(),
            Err(TryLockError::Poisoned(state)) => state.into_inner().take(),
            Err(TryLockError::WouldBlock) => return Err(forked_in_use().into()),
        };
        state.map_or(Ok(()), State::close_inherited)
    }
}
