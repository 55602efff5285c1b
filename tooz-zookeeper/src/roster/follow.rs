//! Following a roster: after each change one listing of the names, and the values of new and changed entries only.
//!
//! The first read goes behind a write of this session, so that a server that lags behind catches up first. From then on the
//! watches of the connected server say what is out of date. They do not say what has changed, so each update is a snapshot.

use async_trait::async_trait;
use futures_util::join;
use tooz_core::Result;
use tooz_core::driver::{Follow, Roster, Snapshot, Update, Version};

use super::rosters::Rosters;
use super::view::View;
use crate::error::{Answer, Fault};

/// A follower of one roster.
pub(crate) struct ZooKeeperFollower<'a> {
    rosters: &'a Rosters,
    path: String,
    view: View,
    /// What was returned last.
    seen: Option<Version>,
}

impl<'a> ZooKeeperFollower<'a> {
    pub(crate) fn new(rosters: &'a Rosters, roster: &Roster) -> Self {
        Self { rosters, path: rosters.layout.roster(roster), view: View::default(), seen: None }
    }

    /// Waits for a state that differs from the last one. Cancel safe.
    pub(super) async fn next_snapshot(&mut self) -> Answer<Snapshot> {
        let client = &self.rosters.client;
        client.check()?;
        if self.seen.is_none() {
            let (synced, read) = join!(client.sync(), self.view.refresh(client, &self.path));
            synced.and(read)?;
        }
        loop {
            // It sends nothing while nothing is out of date.
            let snapshot = self.view.refresh(client, &self.path).await?;
            if self.seen.replace(snapshot.version) != Some(snapshot.version) {
                return Ok(snapshot);
            }
            self.view.out_of_date().await;
        }
    }
}

#[async_trait]
impl Follow for ZooKeeperFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        self.next_snapshot().await.map(Update::Snapshot).map_err(Fault::into_error)
    }
}
