//! Reading a roster, and waiting until it differs from an earlier reading.
//!
//! The content is its own version, so the server counts no changes and can lose no count.

use tokio::time::timeout;
use tooz_core::Result;
use tooz_core::driver::support::content_version;
use tooz_core::driver::{Roster, Snapshot, Version};

use super::wait::BACKUP;
use crate::client::{Reply, SNAPSHOT};
use crate::layout::parse_record;
use crate::session::RedisSession;

impl RedisSession {
    pub(crate) async fn read_roster(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let key = self.layout.roster(roster);
        let Some(version) = newer_than else {
            return snapshot(self.run(&SNAPSHOT, &key, &[]).await?).map(|(snapshot, _)| snapshot);
        };
        self.check_open()?;
        let mut receiver = self.subscriptions.subscribe(&key).await?;
        loop {
            let (snapshot, expiry) = snapshot(self.run(&SNAPSHOT, &key, &[]).await?)?;
            if snapshot.version != version {
                return Ok(snapshot);
            }
            self.subscriptions.expect_expiry(expiry);
            // A timer that has run out, and a sender that is gone, both mean: look at the server.
            let _ = timeout(BACKUP, receiver.changed()).await;
        }
    }
}

/// The roster, and after how many milliseconds a session may be over.
fn snapshot(mut reply: Reply) -> Result<(Snapshot, i64)> {
    let (declared, expiry) = (reply.number()? == 1, reply.number()?);
    let mut entries = Vec::new();
    while let Some(record) = reply.bytes() {
        entries.push(parse_record(&record)?);
    }
    entries.sort_unstable_by_key(|entry| entry.seq);
    Ok((Snapshot { version: content_version(declared, &entries), declared, entries }, expiry))
}
