//! Reading a roster, and waiting until it differs from an earlier reading.
//!
//! A roster that fits into one page is read by one script. Another may change between two pages, so it is read as a follower
//! does.

use tooz_core::Result;
use tooz_core::driver::{Follow, Roster, Snapshot, Update, Version};

use super::follow::{RedisFollower, snapshot};
use crate::session::RedisSession;

impl RedisSession {
    pub(crate) async fn read_roster(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        if newer_than.is_none() {
            let page = self.read_page(&self.layout().roster(roster), false, None).await?;
            if page.is_last {
                return Ok(snapshot(page.declared, page.entries));
            }
        }
        let mut follower = RedisFollower::new(self, roster);
        loop {
            match follower.next().await? {
                Update::Snapshot(snapshot) if newer_than != Some(snapshot.version) => return Ok(snapshot),
                Update::Snapshot(_) => {}
                _ => follower = RedisFollower::new(self, roster),
            }
        }
    }
}
