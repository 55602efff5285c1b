//! Following the queue of a lock, semaphore or election: its state after each change.

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
}

impl QueueWatch {
    pub(crate) fn new(target: RosterTarget) -> Self {
        Self { roster: RosterWatch::new(target), last: None }
    }

    /// Returns the present queue at the first call, and waits for the next change at each further call.
    ///
    /// Several changes that follow each other closely may appear as one. The backend reports changes; nothing is read
    /// while there are none. Waits through outages and losses of the session. Cancel safe.
    ///
    /// # Errors
    /// `InvalidName`, `AuthFailed`; `Closed` once the coordinator is closed.
    pub async fn next(&mut self) -> Result<Queue> {
        loop {
            let queue = Queue::read(&self.roster.next("watch").await?.state.entries())?;
            if self.last.as_ref() != Some(&queue) {
                self.last = Some(queue.clone());
                return Ok(queue);
            }
        }
    }

    /// Converts into a [`Stream`] of the same queues, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Queue>> + Send {
        futures_util::stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            let item = watch.next().await;
            let rest = item.is_ok().then_some(watch);
            Some((item, rest))
        })
    }
}
