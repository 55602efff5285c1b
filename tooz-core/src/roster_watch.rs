//! Following a roster across sessions: each change once, as a snapshot.

use std::sync::Arc;

use crate::coordinator::Target;
use crate::driver::Snapshot;
use crate::live::Live;
use crate::view::View;
use crate::{ErrorKind, Result};

/// Tells of the states of a roster, each after a change.
#[derive(Debug)]
pub(crate) struct RosterWatch {
    target: Target,
    seen: Option<Seen>,
    /// Whether a snapshot was delivered and the view was interrupted since.
    interrupted: bool,
}

#[derive(Debug)]
struct Seen {
    live: Arc<Live>,
    view: Arc<View>,
    generation: u64,
}

impl RosterWatch {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, seen: None, interrupted: false }
    }

    /// The next snapshot after a change, and whether the view was interrupted before it, so that changes which undid each
    /// other may have gone unseen. Waits through outages and losses of the session. Cancel safe.
    pub(crate) async fn next(&mut self, operation: &'static str) -> Result<(Arc<Snapshot>, bool)> {
        let target = self.target.clone();
        target.run(operation, self.advance()).await
    }

    async fn advance(&mut self) -> Result<(Arc<Snapshot>, bool)> {
        loop {
            let live = match self.target.coordinator.live().await {
                Err(error) if error.is_retryable() => continue,
                live => live?,
            };
            if self.seen.take_if(|seen| !Arc::ptr_eq(&seen.live, &live) || seen.view.is_over()).is_some() {
                self.interrupted = true;
            }
            let (view, generation) = match &self.seen {
                Some(seen) => (seen.view.clone(), Some(seen.generation)),
                None => (live.view(self.target.roster()?), None),
            };
            match view.next(generation).await {
                Ok((generation, snapshot)) => {
                    self.seen = Some(Seen { live, view, generation });
                    return Ok((snapshot, std::mem::take(&mut self.interrupted)));
                }
                // The next session continues.
                Err(error) if error.kind() == ErrorKind::SessionLost => {}
                Err(error) => {
                    self.interrupted |= self.seen.take().is_some();
                    return Err(error);
                }
            }
        }
    }
}
