//! A transaction under way: the clock, the pokes to send after the commit, and the burial of the dead.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::directory::Directory;
use crate::error::{Outcome, session_lost};
use crate::line::Line;
use crate::poke::{Poke, Post};
use crate::ring;

/// The row of the clock, as this process saw it last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) last: i64,
    pub(crate) reserved: i64,
}

impl Clock {
    pub(crate) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut select =
            db.prepare_cached("SELECT permits, value FROM entries WHERE roster = 0 AND mode = 'c' AND seq = 0")?;
        select.query_row([], |row| Self::from_row(row, 0))
    }

    /// Reads it from two columns of a row.
    pub(crate) fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self { last: row.get(first)?, reserved: row.get(first + 1)? })
    }

    pub(crate) fn write(self, db: &Connection) -> rusqlite::Result<()> {
        let mut update = db.prepare_cached(
            "UPDATE entries SET permits = ?1, value = ?2 WHERE roster = 0 AND mode = 'c' AND seq = 0",
        )?;
        update.execute([self.last, self.reserved])?;
        Ok(())
    }
}

/// A transaction under way, and what is to be done once it is committed.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) me: i64,
    directory: &'a Directory,
    post: &'a Post,
    pub(crate) pokes: Vec<(i64, Poke)>,
    pub(crate) buried: Vec<i64>,
    /// Rosters that have become empty.
    pub(crate) idle: Vec<i64>,
    pub(crate) clock: Option<Clock>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(db: &'a Connection, directory: &'a Directory, post: &'a Post, me: i64) -> Self {
        Self { db, me, directory, post, pokes: Vec::new(), buried: Vec::new(), idle: Vec::new(), clock: None }
    }

    /// Fails if others hold this process for dead.
    pub(crate) fn check_alive(&self) -> Outcome<()> {
        let known = self.db.prepare_cached("SELECT 1 FROM peers WHERE id = ?1")?.exists([self.me])?;
        if known { Ok(()) } else { Err(session_lost().into()) }
    }

    /// The next number of the clock.
    pub(crate) fn next(&mut self) -> Outcome<i64> {
        let mut clock = self.clock.map_or_else(|| Clock::read(self.db), Ok)?;
        clock.last += 1;
        clock.write(self.db)?;
        self.clock = Some(clock);
        Ok(clock.last)
    }

    /// Pokes a peer after the commit.
    pub(crate) fn poke(&mut self, peer: i64, poke: Poke) {
        if !self.pokes.contains(&(peer, poke)) {
            self.pokes.push((peer, poke));
        }
    }

    /// The peer that a session belongs to.
    pub(crate) fn peer_of(&self, session: i64) -> Outcome<Option<i64>> {
        let mut select = self.db.prepare_cached("SELECT peer FROM sessions WHERE id = ?1")?;
        Ok(select.query_row([session], |row| row.get(0)).optional()?)
    }

    /// Pokes the peer of a session after the commit.
    pub(crate) fn poke_session(&mut self, session: i64, poke: Poke) -> Outcome<()> {
        if let Some(peer) = self.peer_of(session)? {
            self.poke(peer, poke);
        }
        Ok(())
    }

    /// Removes those among `peers` that are dead. Returns whether there were any.
    pub(crate) fn bury_dead(&mut self, peers: impl IntoIterator<Item = i64>) -> Outcome<bool> {
        let mut any = false;
        for peer in peers {
            if peer != self.me && !self.buried.contains(&peer) && self.post.is_dead(self.directory, peer) {
                self.bury(peer)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Removes a peer with its sessions and all that they had.
    pub(crate) fn bury(&mut self, peer: i64) -> Outcome<()> {
        tracing::debug!(peer, "removing what a process has left behind");
        self.remove_entries(
            "SELECT roster, seq FROM entries WHERE session IN (SELECT id FROM sessions WHERE peer = ?1)",
            peer,
        )?;
        for statement in [
            "DELETE FROM sessions WHERE peer = ?1",
            "DELETE FROM watchers WHERE peer = ?1",
            "DELETE FROM readers WHERE peer = ?1",
            "DELETE FROM evictions WHERE peer = ?1",
            "DELETE FROM peers WHERE id = ?1",
        ] {
            self.db.prepare_cached(statement)?.execute(params![peer])?;
        }
        self.buried.push(peer);
        for survivor in ring::peers(self.db)? {
            self.poke(survivor, Poke::All);
        }
        Ok(())
    }

    /// Removes a session and its entries.
    pub(crate) fn end_session(&mut self, session: i64) -> Outcome<()> {
        self.remove_entries("SELECT roster, seq FROM entries WHERE session = ?1", session)?;
        self.db.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([session])?;
        Ok(())
    }

    /// Removes the entries that a statement names for `whose`.
    fn remove_entries(&mut self, statement: &str, whose: i64) -> Outcome<()> {
        let entries: Vec<(i64, i64)> = {
            let mut select = self.db.prepare_cached(statement)?;
            select.query_map([whose], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
        };
        for (roster, seq) in entries {
            if let Some(line) = Line::with_id(self.db, roster)?
                && let Some(entry) = line.entry(self.db, seq)?
            {
                line.remove(self, &entry)?;
            }
        }
        Ok(())
    }
}
