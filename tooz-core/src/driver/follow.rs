//! The driver contract for watches: a roster is followed by its changes.

use async_trait::async_trait;

use super::{Entry, Roster, Seq, Session, Snapshot, Version};
use crate::Result;

/// Follows one roster; see [`Session::follow`].
#[async_trait]
pub trait Follow: Send {
    /// Waits for the next update: first a [`Snapshot`](Update::Snapshot), which is read after the first call, then the
    /// changes since the last update.
    ///
    /// - **Order.** Changes come in the order in which they took effect, each once, and none is missing.
    /// - **Steps.** The changes of one atomic step come in one update: a take-over is a `Left` and an `Entered`.
    /// - **Gaps.** If the driver cannot tell all changes since the last update, it returns a new `Snapshot`.
    ///
    /// The expiry of a session is a change like any other.
    ///
    /// **Cancel safety:** complete. An update that a dropped call has not returned is returned by the next call.
    ///
    /// # Errors
    /// `SessionLost`, `Unavailable`, `Corrupt`. After an error, core drops the follower and begins another one.
    async fn next(&mut self) -> Result<Update>;
}

/// What has changed in a roster since the last update.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// The whole roster. It replaces everything that was known before.
    Snapshot(Snapshot),
    /// The changes since the last update, the earliest first.
    Changes(Vec<Change>),
}

/// One change of a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An entry was added at the end of the roster.
    Entered(Entry),
    /// The entry with this seq was removed.
    Left(Seq),
    /// The entry has a new value.
    Replaced {
        /// The position of the entry.
        seq: Seq,
        /// Its new value.
        value: Vec<u8>,
    },
    /// The roster was declared, or retracted.
    Declared(bool),
}

/// The provided [`Session::follow`]: each update is a whole snapshot, read by [`Session::snapshot`] after a change.
#[derive(Debug)]
pub struct FollowBySnapshots<'a, S: ?Sized> {
    session: &'a S,
    roster: &'a Roster,
    seen: Option<Version>,
}

impl<'a, S: Session + ?Sized> FollowBySnapshots<'a, S> {
    /// A follower that has read nothing yet.
    pub fn new(session: &'a S, roster: &'a Roster) -> Self {
        Self { session, roster, seen: None }
    }
}

#[async_trait]
impl<S: Session + ?Sized> Follow for FollowBySnapshots<'_, S> {
    async fn next(&mut self) -> Result<Update> {
        let snapshot = self.session.snapshot(self.roster, self.seen).await?;
        self.seen = Some(snapshot.version);
        Ok(Update::Snapshot(snapshot))
    }
}

/// Implements [`Session::snapshot`] with `newer_than` for a driver that overrides [`Session::follow`]: waits for a change, and
/// then reads again.
///
/// # Errors
/// Those of [`Follow::next`].
pub async fn snapshot_newer_than(session: &dyn Session, roster: &Roster, version: Version) -> Result<Snapshot> {
    loop {
        let mut follower = session.follow(roster);
        if let Update::Snapshot(snapshot) = follower.next().await?
            && snapshot.version != version
        {
            return Ok(snapshot);
        }
        follower.next().await?;
    }
}
