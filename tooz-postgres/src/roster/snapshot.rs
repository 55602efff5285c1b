//! Reading a roster, and waiting until it differs from an earlier reading.
//!
//! The content is its own version, so the server counts no changes. A watcher is notified by its name in the table `watch`.

use tooz_core::Result;
use tooz_core::driver::support::content_version;
use tooz_core::driver::{Change, Roster, Snapshot, Version};

use crate::client::Reply;
use crate::layout::{change_of, unreadable};
use crate::session::PostgresSession;

const READ: &str = "SELECT * FROM read_roster($1, $2, $3)";

/// The transactions that were over at one moment.
pub(super) struct Transactions {
    /// The first one that had not begun.
    end: u64,
    /// Those before it that were running.
    running: Vec<u64>,
}

impl Transactions {
    /// Parses the text of a `pg_snapshot`: the first running one, the end, and all running ones.
    fn parse(text: &str) -> Option<Self> {
        let (end, running) = text.split_once(':')?.1.split_once(':')?;
        let running = running.split(',').filter_map(|number| number.parse().ok()).collect();
        Some(Self { end: end.parse().ok()?, running })
    }

    pub(super) fn contains(&self, transaction: u64) -> bool {
        transaction < self.end && !self.running.contains(&transaction)
    }
}

impl PostgresSession {
    pub(crate) async fn read_roster(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let Some(version) = newer_than else {
            return Ok(self.read_now(roster).await?.0);
        };
        loop {
            let mut notifications = self.core.watch(roster.kind.as_str(), &roster.name).await?;
            let (snapshot, _) = self.read_now(roster).await?;
            if snapshot.version != version {
                return Ok(snapshot);
            }
            // An error says that notifications may have been missed.
            notifications.recv().await.ok();
        }
    }

    /// Reads the roster, and which transactions had changed it before.
    pub(super) async fn read_now(&self, roster: &Roster) -> Result<(Snapshot, Transactions)> {
        let reply = self.core.call_on(READ, roster, &[]).await?;
        self.core.inbox.expect_expiry(reply.get(0, "rest")?);
        let seen = Transactions::parse(reply.get(0, "seen")?).ok_or_else(|| reply.unexpected())?;
        Ok((snapshot(&reply)?, seen))
    }
}

fn snapshot(reply: &Reply) -> Result<Snapshot> {
    let (declared, lines): (_, Vec<&str>) = (reply.get(0, "is_declared")?, reply.get(0, "entries")?);
    let entry = |line: &str| match change_of(line) {
        Some(Change::Entered(entry)) => Ok(entry),
        _ => Err(unreadable()),
    };
    let entries = lines.into_iter().map(entry).collect::<Result<Vec<_>>>()?;
    Ok(Snapshot { version: content_version(declared, &entries), declared, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_over_if_it_began_before_and_does_not_run() {
        let transactions = Transactions::parse("10:20:10,14").expect("it is what the server writes");
        assert_eq!(
            [9, 10, 11, 14, 19, 20].map(|number| transactions.contains(number)),
            [true, false, true, false, true, false]
        );
        assert!(Transactions::parse("10:10:").expect("none runs").contains(9));
    }
}
