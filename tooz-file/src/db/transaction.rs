//! A transaction under way, with the notifications that the process sends once it is committed.

use rusqlite::Connection;
use tooz_core::driver::support::session_lost;

use crate::error::Outcome;
use crate::peers::liveness::Presence;
use crate::peers::notify::Notification;

/// How many rows a transaction removes at most when it cleans up, so that other processes never wait long for it.
pub(crate) const STEP: usize = 100;

/// A transaction under way.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) presence: &'a Presence,
    /// What to send after the commit, and to which peer.
    pub(crate) notifications: Vec<(i64, Notification)>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(db: &'a Connection, presence: &'a Presence) -> Self {
        Self { db, presence, notifications: Vec::new() }
    }

    /// The id of this process in `peers`.
    pub(crate) fn me(&self) -> i64 {
        self.presence.me()
    }

    /// Fails if another process has taken this one for dead and removed its rows.
    pub(crate) fn check_alive(&self) -> Outcome<()> {
        let known = self.db.prepare_cached("SELECT 1 FROM peers WHERE id = ?1")?.exists([self.me()])?;
        if known { Ok(()) } else { Err(session_lost().into()) }
    }

    /// Notifies a peer after the commit.
    pub(crate) fn notify(&mut self, peer: i64, notification: Notification) {
        if !self.notifications.contains(&(peer, notification)) {
            self.notifications.push((peer, notification));
        }
    }
}

/// Runs `work` in a transaction that holds the write lock from the start.
pub(crate) fn immediate<T>(db: &Connection, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let result = work().and_then(|value| {
        db.prepare_cached("COMMIT")?.execute([])?;
        Ok(value)
    });
    if result.is_err() && !db.is_autocommit() {
        // A rollback that fails leaves the transaction to the next one, which fails on BEGIN and says so.
        let _ = db.execute_batch("ROLLBACK");
    }
    result
}

#[cfg(test)]
mod tests {
    use tooz_core::driver::support::not_held;

    use super::*;
    use crate::db::schema;
    use crate::error::Fault;

    #[test]
    fn a_rolled_back_transaction_leaves_nothing_and_the_next_one_works() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema::TABLES).unwrap();
        let add = || db.execute("INSERT INTO peers VALUES (1)", []).map_err(Fault::from);
        let failed: Outcome<()> = immediate(&db, || {
            add()?;
            Err(not_held().into())
        });
        assert!(failed.is_err());
        assert_eq!(immediate(&db, add).unwrap(), 1);
    }
}
