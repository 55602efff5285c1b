//! Executes the requests of all sessions of this process in one directory.
//!
//! A request runs at once in the caller's thread if no other thread uses the state, which saves two switches of threads.
//! Otherwise it waits in the queue of the worker thread, which may also sleep while other processes write. Each request
//! is carried out in its turn, also if its caller has given up by then.

use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tooz_core::Result;
use tooz_core::driver::support::session_lost;

use super::queue::Queue;
use super::state::State;
use crate::db::busy;
use crate::directory::Directory;
use crate::error::{Outcome, other_process, timeout_error};

/// The executor. Its worker ends when the last session drops it.
#[derive(Debug)]
pub(crate) struct Executor {
    queue: Arc<Queue>,
    directory: Arc<Directory>,
    /// The process that started it. A fork copies the executor, but not its worker.
    process: u32,
}

impl Executor {
    pub(crate) fn new(queue: Arc<Queue>, directory: Arc<Directory>) -> Self {
        Self { queue, directory, process: process::id() }
    }

    /// Executes a request in the caller's thread if that is possible at once, else as [`queue`](Self::queue) does.
    ///
    /// The request may be started twice. The first attempt has then changed nothing, or has cleaned up a part.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        mut request: impl FnMut(&mut State) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.check_process()?;
        match self.try_now(&mut request) {
            Some(result) => result,
            None => self.queue(timeout, request).await,
        }
    }

    /// Executes a request in the worker thread, after all that were queued before.
    pub(crate) async fn queue<T: Send + 'static>(
        &self,
        timeout: Duration,
        mut request: impl FnMut(&mut State) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.check_process()?;
        let (reply, answer) = oneshot::channel();
        let deadline = busy::deadline(timeout);
        let directory = self.directory.clone();
        self.queue.push(Box::new(move |state| {
            let outcome = match Instant::now() < deadline {
                true => busy::until(Some(deadline), || request(state)),
                false => Err(timeout_error().into()),
            };
            Box::new(move || {
                // A caller that has given up does not listen.
                let _ = reply.send(outcome.map_err(|fault| fault.into_error(directory.path())));
            })
        }));
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(session_lost())),
            Err(_) => Err(timeout_error().with_context("directory", self.directory.path().display())),
        }
    }

    /// Queues a job whose result no caller waits for.
    pub(crate) fn submit(&self, job: impl FnOnce(&mut State) + Send + 'static) {
        if self.check_process().is_ok() {
            self.queue.push(Box::new(move |state| {
                job(state);
                Box::new(|| ())
            }));
        }
    }

    /// Ends the worker, and waits until the files of the directory are closed.
    pub(crate) async fn stop(&self, timeout: Duration) {
        if self.check_process().is_ok() {
            // The receiver fails when the worker has ended, and a worker that needs longer ends in the background.
            let _ = tokio::time::timeout(timeout, self.queue.stop()).await;
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether sessions can be added no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.queue.has_ended()
    }

    /// Fails in a process that has inherited the executor by a fork.
    fn check_process(&self) -> Result<()> {
        if process::id() == self.process { Ok(()) } else { Err(other_process(self.process)) }
    }

    fn try_now<T>(&self, request: &mut impl FnMut(&mut State) -> Outcome<T>) -> Option<Result<T>> {
        let mut guard = self.queue.state_if_idle()?;
        let Some(state) = guard.as_mut() else { return Some(Err(session_lost())) };
        if state.is_behind() {
            return None;
        }
        let outcome = busy::until(None, || request(state));
        if state.has_chores() {
            self.queue.wake_worker();
        }
        match outcome {
            Err(fault) if fault.needs_time() => None,
            outcome => Some(outcome.map_err(|fault| fault.into_error(self.directory.path()))),
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if self.check_process().is_ok() {
            drop(self.queue.stop());
        }
    }
}
