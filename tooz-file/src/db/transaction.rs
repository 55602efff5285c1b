//! A transaction under way, with what the process does once it is committed.

use rusqlite::{Connection, OptionalExtension};
use tooz_core::driver::support::session_lost;

use super::sequence::Sequence;
use crate::error::Outcome;
use crate::peers::liveness::Presence;
use crate::peers::notify::Notification;

/// How many rows a transaction removes at most when it cleans up, so that other processes never wait long for it.
pub(crate) const STEP: usize = 100;

/// What processes that wait for new names watch in place of a roster.
pub(crate) const NAMES: i64 = 0;

/// A transaction under way.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    pub(crate) db: &'a Connection,
    /// The id of this process in `peers`.
    pub(crate) me: i64,
    presence: &'a Presence,
    /// What to send after the commit, and to which peer.
    pub(crate) notifications: Vec<(i64, Notification)>,
    /// Rosters that may have become empty.
    pub(crate) idle: Vec<i64>,
    /// The sequence, if the transaction has changed it.
    pub(crate) sequence: Option<Sequence>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(db: &'a Connection, presence: &'a Presence) -> Self {
        Self { db, me: presence.me(), presence, notifications: Vec::new(), idle: Vec::new(), sequence: None }
    }

    /// Fails if another process has taken this one for dead and removed its rows.
    pub(crate) fn check_alive(&self) -> Outcome<()> {
        let known = self.db.prepare_cached("SELECT 1 FROM peers WHERE id = ?1")?.exists([self.me])?;
        if known { Ok(()) } else { Err(session_lost().into()) }
    }

    /// Takes the next number of the sequence. Fails as [`check_alive`](Self::check_alive) does.
    pub(crate) fn next_seq(&mut self) -> Outcome<i64> {
        let sequence = Sequence::advance(self.db, self.me)?;
        self.sequence = Some(sequence);
        Ok(sequence.last)
    }

    /// Notifies a peer after the commit.
    pub(crate) fn notify(&mut self, peer: i64, notification: Notification) {
        if !self.notifications.contains(&(peer, notification)) {
            self.notifications.push((peer, notification));
        }
    }

    /// Notifies the peers that watch a roster, or [`NAMES`], after the commit.
    pub(crate) fn notify_watchers(&mut self, roster: i64) -> Outcome<()> {
        let mut select = self.db.prepare_cached("SELECT peer FROM watchers WHERE roster = ?1")?;
        let peers: Vec<i64> = select.query_map([roster], |row| row.get(0))?.collect::<Result<_, _>>()?;
        peers.into_iter().for_each(|peer| self.notify(peer, Notification::Roster(roster)));
        Ok(())
    }

    /// Notifies the peer of a session after the commit.
    pub(crate) fn notify_session(&mut self, session: i64, notification: Notification) -> Outcome<()> {
        if let Some(peer) = self.peer_of(session)? {
            self.notify(peer, notification);
        }
        Ok(())
    }

    /// The peer that owns a session.
    pub(crate) fn peer_of(&self, session: i64) -> Outcome<Option<i64>> {
        let mut select = self.db.prepare_cached("SELECT peer FROM sessions WHERE id = ?1")?;
        Ok(select.query_row([session], |row| row.get(0)).optional()?)
    }

    /// Those of the peers that are dead.
    pub(crate) fn dead_among(&self, peers: &[i64]) -> Vec<i64> {
        self.presence.dead_among(peers)
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
