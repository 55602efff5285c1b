//! Executes the requests of all sessions of this process in one directory.
//!
//! A request runs at once in the caller's thread if no other thread uses the state, which saves two switches of threads.
//! Otherwise it waits in the queue of the worker thread, which may also sleep while other processes write. Each request
//! is executed in its turn, even if its caller has given up by then.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tooz_core::Result;
use tooz_core::driver::support::{lock, session_lost};

use super::state::State;
use crate::db::{busy, connection};
use crate::directory::Directory;
use crate::error::{Outcome, forked_in_use, other_process, timeout_error};

/// A request to the state. It returns its reply, which the worker sends once the state is unlocked: a caller that forks
/// after a reply then leaves no lock behind in the child.
type Job = Box<dyn FnOnce(&mut State) -> Reply + Send>;

/// Sends the result of a job to its caller.
type Reply = Box<dyn FnOnce() + Send>;

/// What sessions and the worker share.
pub(crate) struct Executor {
    /// `None` once the worker has ended.
    state: Mutex<Option<State>>,
    /// The requests that wait; `None` once the worker has ended.
    jobs: Mutex<Option<VecDeque<Job>>>,
    /// Wakes the worker, which sleeps at the other end.
    wake: UnixStream,
    /// Notified when a session is added, and when the worker has ended and all files of the directory are closed.
    pub(crate) changed: Arc<Notify>,
    directory: Arc<Directory>,
    /// The process that started it. A fork copies the executor, but not its worker.
    process: u32,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("directory", &self.directory.path()).finish_non_exhaustive()
    }
}

impl Executor {
    pub(super) fn new(state: State, wake: UnixStream) -> Self {
        let (directory, process) = (state.directory.clone(), process::id());
        let (state, jobs) = (Mutex::new(Some(state)), Mutex::new(Some(VecDeque::new())));
        Self { state, jobs, wake, changed: Arc::default(), directory, process }
    }

    /// Executes a request in the caller's thread if that is possible at once, else in the worker thread.
    ///
    /// The request may be started twice. The first attempt has then changed nothing, except that it may have removed some
    /// entries of dead processes.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        mut request: impl FnMut(&mut State) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.check_process()?;
        if let Some(result) = self.try_now(&mut request) {
            return result;
        }
        let (reply, answer) = oneshot::channel();
        let deadline = busy::deadline(limit);
        let directory = self.directory.clone();
        self.push(Box::new(move |state| {
            let outcome = match Instant::now() < deadline {
                true => busy::until(Some(deadline), || request(state)),
                false => Err(timeout_error().into()),
            };
            Box::new(move || {
                // A caller that has given up does not listen.
                let _ = reply.send(outcome.map_err(|fault| fault.into_error(directory.path())));
            })
        }));
        match timeout(limit, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(session_lost())),
            Err(_) => Err(timeout_error().with_context("directory", self.directory.path().display())),
        }
    }

    /// Queues a request whose result no caller waits for.
    pub(crate) fn submit(&self, request: impl FnOnce(&mut State) + Send + 'static) {
        if self.check_process().is_ok() {
            self.push(Box::new(move |state| {
                request(state);
                Box::new(|| ())
            }));
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The state, for the worker and for the code that opens or closes it. If an earlier user panicked, its transaction was
    /// rolled back, so the state is consistent.
    pub(super) fn state(&self) -> MutexGuard<'_, Option<State>> {
        lock(&self.state)
    }

    pub(super) fn has_jobs(&self) -> bool {
        lock(&self.jobs).as_ref().is_some_and(|jobs| !jobs.is_empty())
    }

    /// Takes the next job. Call it with the state locked, so that no caller overtakes the job.
    pub(super) fn pop(&self) -> Option<Job> {
        lock(&self.jobs).as_mut()?.pop_front()
    }

    pub(super) fn wake_worker(&self) {
        // A full pipe means that the worker has been woken already.
        let _ = (&self.wake).write(&[0]);
    }

    /// Drops the jobs that wait, and all later ones: their callers learn that the session is over.
    pub(super) fn close(&self) {
        lock(&self.jobs).take();
    }

    /// Closes the copy of the state that a fork has made. Fails if a thread of the parent was using it at that moment,
    /// since that thread does not exist here.
    pub(super) fn close_inherited(&self) -> Outcome<()> {
        let state = match self.state.try_lock() {
            Ok(mut state) => state.take(),
            Err(TryLockError::Poisoned(state)) => state.into_inner().take(),
            Err(TryLockError::WouldBlock) => return Err(forked_in_use().into()),
        };
        state.map_or(Ok(()), |state| connection::close_inherited(state.db))
    }

    fn push(&self, job: Job) {
        if let Some(jobs) = lock(&self.jobs).as_mut() {
            jobs.push_back(job);
        }
        self.wake_worker();
    }

    /// Fails in a process that has inherited the executor by a fork.
    fn check_process(&self) -> Result<()> {
        if process::id() == self.process { Ok(()) } else { Err(other_process(self.process)) }
    }

    fn try_now<T>(&self, request: &mut impl FnMut(&mut State) -> Outcome<T>) -> Option<Result<T>> {
        if self.has_jobs() {
            return None;
        }
        let mut locked = self.state.try_lock().ok()?;
        let Some(state) = locked.as_mut() else { return Some(Err(session_lost())) };
        if state.is_behind() {
            return None;
        }
        let outcome = busy::until(None, || request(state));
        if state.has_work() {
            self.wake_worker();
        }
        match outcome {
            Err(fault) if fault.needs_time() => None,
            outcome => Some(outcome.map_err(|fault| fault.into_error(self.directory.path()))),
        }
    }
}
