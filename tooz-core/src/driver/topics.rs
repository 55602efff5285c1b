//! The driver contract for topics: bounded logs with a total order, readable from any offset.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Name, Result};

/// The position of a message in its topic.
///
/// Offsets ascend and never repeat, but may have gaps. Offset 0 is before the first message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its position. [`StartAt::After`](crate::StartAt::After) resumes after it.
    pub offset: Offset,
    /// The published bytes.
    pub payload: Vec<u8>,
}

/// The readable part of a topic at one moment: the messages with `trimmed < offset <= newest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The greatest offset that retention has removed; 0 if there is none.
    pub trimmed: Offset,
    /// The greatest published offset; 0 if there is none.
    pub newest: Offset,
}

/// What a driver implements so that its sessions have topics. A topic exists from its first message on.
///
/// Each method may be called concurrently. On a session that has ended it fails with `SessionLost`.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Appends a message and removes all but the newest `keep` messages (at least 1).
    ///
    /// **R25 Atomicity:** the append is one atomic step; when it returns, the message is durable. Retention may lag by a
    /// constant number of messages, but never removes one of the newest `keep`.
    ///
    /// **Idempotence:** none. Core does not repeat a publish whose outcome is unknown, so the message may or may not be
    /// in the topic, but never twice.
    ///
    /// **Cancel safety:** a dropped call has an unknown outcome too.
    ///
    /// # Errors
    /// - `InvalidOption` if the backend cannot store a payload of this size; the message names both sizes.
    /// - `SessionLost`, `Unavailable`.
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset>;

    /// Returns the messages after `after` in ascending order, at most `limit` (at least 1) of them. Waits until there
    /// is one.
    ///
    /// **R26 Atomicity:** all readers see the messages in one order. A message that one call has returned comes before
    /// all messages that a later call returns, even on another session.
    ///
    /// **Cancel safety:** complete. Reading changes nothing, so the next call with the same `after` misses nothing.
    ///
    /// # Errors
    /// - `Gap` if retention has removed a message after `after`.
    /// - `SessionLost`, `Unavailable`.
    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>>;

    /// The names of topics with at least one message, at most `limit` (1 to 1,000) of them: the first ones, or those
    /// that follow `after`. A page with fewer names than `limit` is the last one.
    ///
    /// R27: the order is as for [`Session::rosters`](super::Session::rosters).
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>>;

    /// R28: the readable part of the topic at this moment. Both offsets are 0 for a topic without a published message.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`.
    async fn bounds(&self, topic: &Name) -> Result<Bounds>;
}
