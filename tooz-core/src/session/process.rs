//! The process to which a session belongs.
//!
//! A fork copies coordinators, guards and the tasks of a runtime into the child. The child must not act through these
//! copies, since the backend would mistake it for the parent. Each use there fails, and no task takes a further step.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::{Error, ErrorKind, Result};

/// The process that opened a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerProcess {
    id: u32,
}

impl OwnerProcess {
    /// This process.
    pub(crate) fn current() -> Self {
        Self { id: std::process::id() }
    }

    /// Another process, as a fork would see its parent.
    #[cfg(test)]
    pub(crate) fn parent() -> Self {
        Self { id: std::process::id() + 1 }
    }

    /// Whether this process is the owner.
    pub(crate) fn is_current(self) -> bool {
        std::process::id() == self.id
    }

    /// # Errors
    /// `Closed` in any other process than the owner.
    pub(crate) fn check(self) -> Result<()> {
        if self.is_current() { Ok(()) } else { Err(self.error()) }
    }

    /// The error of each use in another process.
    pub(crate) fn error(self) -> Error {
        let message = "the session belongs to the process that connected, and this process is a fork of it; \
                       connect again after the fork";
        let error = Error::new(ErrorKind::Closed, message);
        error.with_context("connected by process", self.id).with_context("this process", std::process::id())
    }

    /// Runs `work`. Checks the process before each step, so that a fork does not continue what its parent has begun.
    ///
    /// # Errors
    /// `Closed` in any other process than the owner.
    pub(crate) async fn run<F: Future>(self, work: F) -> Result<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| match self.check() {
            Ok(()) => work.as_mut().poll(context).map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_takes_no_step_in_another_process() {
        let stepped = AtomicBool::new(false);
        let work = async { stepped.store(true, Ordering::SeqCst) };
        let error = OwnerProcess::parent().run(work).await.unwrap_err().to_string();
        assert!(error.contains("fork") && error.contains("connect again"), "{error}");
        assert!(!stepped.load(Ordering::SeqCst));
        assert!(OwnerProcess::current().run(async {}).await.is_ok());
    }
}
