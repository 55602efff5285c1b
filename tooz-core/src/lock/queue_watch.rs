//! Following the queue of a lock, semaphore or election: its state after each change.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use super::queue::Queue;
use crate::Result;
use crate::coordinator::RosterTarget;
use crate::entry::RosterWatch;

/// The holders and waiters of a lock, semaphore or election, from now on; see [`Lock::watch`](crate::Lock::watch).
#[derive(Debug)]
#[must_use = "queues are received with `next`"]
pub struct QueueWatch {
    roster: RosterWatch,
    last: Option<Queue>,
    /// Whether the stream has ended, with an error.
    ended: bool,
}

impl QueueWatch {
    pub(crate) fn new(target: RosterTarget) -> Self {
        Self { roster: RosterWatch::new(target, "watch"), last: None, ended: false }
    }

    /// Returns the present queue at the first call, and waits for the next change at each further call.
    ///
    /// Several changes that follow each other closely may appear as one. The backend reports changes; nothing is read
    /// while there are none. Waits through outages and losses of the session. Cancel safe.
    ///
    /// # Errors
    /// `InvalidName`, `AuthFailed`; `Closed` once the coordinator is closed.
    pub async fn next(&mut self) -> Result<Queue> {
        poll_fn(|context| self.poll_queue(context)).await
    }

    fn poll_queue(&mut self, context: &mut Context<'_>) -> Poll<Result<Queue>> {
        loop {
            let queue = Queue::read(&ready!(self.roster.poll_next(context))?.state.entries())?;
            if self.last.as_ref() != Some(&queue) {
                self.last = Some(queue.clone());
                return Poll::Ready(Ok(queue));
            }
        }
    }
}

/// The queues of [`QueueWatch::next`]. The stream ends after an error.
impl Stream for QueueWatch {
    type Item = Result<Queue>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let queue = ready!(self.poll_queue(context));
        self.ended = queue.is_err();
        Poll::Ready(Some(queue))
    }
}
