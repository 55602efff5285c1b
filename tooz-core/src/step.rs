//! Polling an asynchronous function again and again, for streams.
//!
//! The state moves into the future of each step and comes back with its output. The future is boxed and kept between
//! polls. So a stream made of steps is `Unpin`, and a caller that drops `next()` loses nothing.

use std::fmt;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;

/// A state between steps, or the step that is under way.
pub(crate) struct Step<S, T> {
    idle: Option<S>,
    running: Option<BoxFuture<'static, (S, T)>>,
}

impl<S, T> Step<S, T> {
    pub(crate) fn new(state: S) -> Self {
        Self { idle: Some(state), running: None }
    }

    /// The state, unless a step is under way.
    pub(crate) fn state(&self) -> Option<&S> {
        self.idle.as_ref()
    }

    /// Continues the step that is under way, or begins one.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        begin: impl FnOnce(S) -> BoxFuture<'static, (S, T)>,
    ) -> Poll<T> {
        if let Some(state) = self.idle.take() {
            self.running = Some(begin(state));
        }
        let Some(running) = &mut self.running else { return Poll::Pending };
        let (state, output) = ready!(running.as_mut().poll(context));
        self.running = None;
        self.idle = Some(state);
        Poll::Ready(output)
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Step<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("idle", &self.idle).field("is_running", &self.running.is_some()).finish()
    }
}
