//! Following a roster: a snapshot, then the changes, which the transactions that make them send as notifications.
//!
//! - The connection listens before the roster is read, so no change after the reading is missed. Notifications arrive in the
//!   order in which their transactions are committed, and each names its transaction.
//! - The reading names the transactions that were over. The follower skips their notifications, as it has their changes.
//! - When the session has a new connection, or more notifications wait than can be kept, the follower reads a snapshot again.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tooz_core::Result;
use tooz_core::driver::{Change, Follow, Roster, Update};

use super::snapshot::Transactions;
use crate::layout::{change_of, unreadable};
use crate::session::PostgresSession;

/// A follower of one roster.
pub(crate) struct PostgresFollower<'a> {
    session: &'a PostgresSession,
    roster: &'a Roster,
    begun: Option<Begun>,
}

/// A follower that has read its snapshot.
struct Begun {
    notifications: broadcast::Receiver<Arc<str>>,
    /// The transactions whose changes the snapshot has.
    seen: Transactions,
    /// The first parts of a notification that has several.
    parts: String,
}

impl<'a> PostgresFollower<'a> {
    pub(crate) fn new(session: &'a PostgresSession, roster: &'a Roster) -> Self {
        Self { session, roster, begun: None }
    }

    async fn begin(&mut self) -> Result<Update> {
        let notifications = self.session.core.watch(self.roster.kind.as_str(), &self.roster.name).await?;
        let (snapshot, seen) = self.session.read_now(self.roster).await?;
        self.begun = Some(Begun { notifications, seen, parts: String::new() });
        Ok(Update::Snapshot(snapshot))
    }
}

#[async_trait]
impl Follow for PostgresFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        while let Some(begun) = &mut self.begun {
            match begun.notifications.recv().await {
                Ok(notification) => {
                    let changes = begun.changes(&notification).ok_or_else(unreadable)?;
                    if !changes.is_empty() {
                        return Ok(Update::Changes(changes));
                    }
                }
                Err(_) => self.begun = None,
            }
        }
        self.begin().await
    }
}

impl Begun {
    /// The changes that a notification completes; `None` if it cannot be read.
    fn changes(&mut self, notification: &str) -> Option<Vec<Change>> {
        let mut words = notification.splitn(3, ' ');
        let (transaction, following, part) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        if self.seen.contains(transaction) {
            return Some(Vec::new());
        }
        self.parts.push_str(part);
        match following {
            "0" => std::mem::take(&mut self.parts).lines().map(change_of).collect(),
            _ => Some(Vec::new()),
        }
    }
}
