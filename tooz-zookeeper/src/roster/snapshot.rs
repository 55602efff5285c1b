//! Reading a roster, at once or when it has changed, as a follower does.

use tooz_core::driver::{Roster, Snapshot, Version};

use super::follow::ZooKeeperFollower;
use super::rosters::Rosters;
use crate::error::Answer;

impl Rosters {
    pub(crate) async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Answer<Snapshot> {
        let mut follower = ZooKeeperFollower::new(self, roster);
        loop {
            let snapshot = follower.next_snapshot().await?;
            if newer_than != Some(snapshot.version) {
                return Ok(snapshot);
            }
        }
    }
}
