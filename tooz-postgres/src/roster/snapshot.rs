//! Reading a roster, and waiting until it differs from an earlier reading.
//!
//! The content is its own version, so the server counts no changes. A watcher is notified by its name in the table `watch`.

use tooz_core::Result;
use tooz_core::driver::support::content_version;
use tooz_core::driver::{Roster, Snapshot, Version};

use crate::client::Reply;
use crate::layout::entry_of;
use crate::session::PostgresSession;

const READ: &str = "SELECT * FROM read_roster($1, $2, $3)";

impl PostgresSession {
    pub(crate) async fn read_roster(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let Some(version) = newer_than else {
            return self.read_now(roster).await;
        };
        loop {
            let mut receiver = self.core.watch(roster.kind.as_str(), &roster.name).await?;
            let snapshot = self.read_now(roster).await?;
            if snapshot.version != version {
                return Ok(snapshot);
            }
            // The sender is kept by the session.
            receiver.changed().await.ok();
        }
    }

    async fn read_now(&self, roster: &Roster) -> Result<Snapshot> {
        let reply = self.core.call(READ, &[&roster.kind.as_str(), &roster.name.as_bytes()]).await?;
        self.core.inbox.expect_expiry(reply.get(0, "rest")?);
        snapshot(&reply)
    }
}

fn snapshot(reply: &Reply) -> Result<Snapshot> {
    let declared = reply.get(0, "is_declared")?;
    let entries = (0..reply.len()).filter_map(|row| entry_of(reply, row).transpose()).collect::<Result<Vec<_>>>()?;
    Ok(Snapshot { version: content_version(declared, &entries), declared, entries })
}
