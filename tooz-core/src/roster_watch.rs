//! Following a roster across sessions: each change once, as a snapshot.

use std::sync::Arc;

use crate::coordinator::Target;
use crate::driver::{Snapshot, Version};
use crate::live::Live;
use crate::{ErrorKind, Result};

/// Reads a roster again and again, whenever it has changed.
#[derive(Debug)]
pub(crate) struct RosterWatch {
    target: Target,
    seen: Option<(Arc<Live>, Version)>,
    /// Whether a snapshot was delivered and the view was interrupted since.
    interrupted: bool,
}

impl RosterWatch {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, seen: None, interrupted: false }
    }

    /// The next snapshot that differs from the last, and whether the view was interrupted before it, so that changes
    /// which undid each other may have gone unseen. Waits through outages and losses of the session. Cancel safe.
    pub(crate) async fn next(&mut self, operation: &'static str) -> Result<(Snapshot, bool)> {
        let target = self.target.clone();
        target.run(operation, self.advance()).await
    }

    async fn advance(&mut self) -> Result<(Snapshot, bool)> {
        loop {
            let live = match self.target.coordinator.live().await {
                Err(error) if error.is_retryable() => continue,
                live => live?,
            };
            let roster = self.target.roster()?;
            let newer_than = match &self.seen {
                Some((seen_by, version)) if Arc::ptr_eq(seen_by, &live) => Some(*version),
                Some(_) => {
                    self.interrupted = true;
                    None
                }
                None => None,
            };
            match live.retry(None, || live.session.snapshot(roster, newer_than)).await {
                Ok(snapshot) => {
                    self.seen = Some((live, snapshot.version));
                    return Ok((snapshot, std::mem::take(&mut self.interrupted)));
                }
                // The next session continues.
                Err(error) if error.kind() == ErrorKind::SessionLost => {}
                Err(error) => return Err(error),
            }
        }
    }
}
