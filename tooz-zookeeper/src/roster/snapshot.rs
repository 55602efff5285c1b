//! Reading a roster, at once or when it has changed.

use std::pin::pin;

use futures_util::join;
use tooz_core::Result;
use tooz_core::driver::{Roster, Snapshot, Version};

use super::rosters::Rosters;
use super::view::View;

impl Rosters {
    pub(crate) async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        match newer_than {
            None => self.snapshot_now(&parent).await,
            Some(seen) => self.snapshot_after(roster, &parent, seen).await,
        }
    }

    /// Reads behind a write of this session, so that a follower that lags behind catches up first.
    async fn snapshot_now(&self, roster: &str) -> Result<Snapshot> {
        let mut view = View::default();
        let (synced, snapshot) = join!(self.client.sync(), view.refresh(&self.client, roster));
        synced?;
        snapshot
    }

    async fn snapshot_after(&self, roster: &Roster, parent: &str, seen: Version) -> Result<Snapshot> {
        let shared = self.views.get(roster);
        let mut has_waited = false;
        loop {
            let mut notified = {
                let mut view = shared.lock().await;
                if !has_waited && view.version != Some(seen) {
                    // What the caller knows may be newer than the view: an event may be on its way.
                    view.clear();
                }
                let snapshot = view.refresh(&self.client, parent).await?;
                if snapshot.version != seen {
                    return Ok(snapshot);
                }
                let mut notified = Box::pin(view.wakeup.clone().notified_owned());
                notified.as_mut().enable();
                if view.has_fired() {
                    continue;
                }
                notified
            };
            pin!(&mut notified).await;
            // The view has shown the caller's version, so what it shows from now on is newer.
            has_waited = true;
        }
    }
}
