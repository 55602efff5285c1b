//! Topics: bounded logs with a total order, read from any offset.

use std::fmt;

use async_trait::async_trait;

use crate::{Name, Result};

/// The place of a message in its topic. Offsets rise, are never used twice and may have holes; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place; resume after it with [`StartAt::After`](crate::StartAt::After).
    pub offset: Offset,
    /// What was published.
    pub payload: Vec<u8>,
}

/// What can be read of a topic at one moment: the messages with `trimmed < offset <= newest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The greatest offset that retention has removed; 0 if none.
    pub trimmed: Offset,
    /// The greatest offset that was published; 0 if none.
    pub newest: Offset,
}

/// What a driver implements so that its sessions have topics. A topic exists from its first message on.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Appends a message durably and removes all but the newest `keep` (at least 1), in one atomic step.
    ///
    /// Retention may lag by a constant number of messages, never remove too much. Not idempotent: core does not repeat
    /// it, so a message whose reply was lost may or may not have been published, but never twice.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`, `InvalidOption` if the backend cannot take a payload of this size (names both
    /// sizes).
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset>;

    /// Returns the messages after `after`, in order, at most `limit` (at least 1) of them; waits until there is one.
    ///
    /// Cancel safe. Every reader sees the same order, and a message once read stays before all that are read later.
    ///
    /// # Errors
    /// `Gap` if a message after `after` was removed by retention; `Unavailable`, `SessionLost`.
    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>>;

    /// What can be read at this moment; both offsets are 0 for a topic that nobody has published to.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn bounds(&self, topic: &Name) -> Result<Bounds>;
}
