//! One roster in the database: its row, and the entries that stand in it. Runs inside a transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tooz_core::driver::{Mode, Nonce, Roster, Seq, Standing, Ticket};
use tooz_core::{Error, ErrorKind};

use crate::error::Outcome;
use crate::poke::Poke;
use crate::work::Work;

/// The row of a roster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) id: i64,
    pub(crate) declared: bool,
    /// At least the limit of every entry that stands.
    greatest_limit: u32,
    /// Whether any process watches it, as it was found.
    watched: bool,
    /// Whether any entry stood, as it was found.
    pub(crate) occupied: bool,
}

/// An entry, without its key and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) seq: i64,
    pub(crate) session: i64,
    pub(crate) nonce: Nonce,
    pub(crate) mode: Mode,
    pub(crate) permits: u32,
    pub(crate) admitted: bool,
}

const COLUMNS: &str = "seq, session, nonce, mode, permits, admitted";
const LINE: &str = "id, declared, greatest_limit, EXISTS (SELECT 1 FROM watchers WHERE roster = rosters.id),
    EXISTS (SELECT 1 FROM entries WHERE roster = rosters.id)";

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            session: row.get(1)?,
            nonce: Nonce(u128::from_be_bytes(row.get(2)?)),
            mode: read_mode(row, 3)?,
            permits: row.get(4)?,
            admitted: row.get(5)?,
        })
    }

    pub(crate) fn ticket(&self) -> Ticket {
        let limit = self.permits.try_into().unwrap_or(std::num::NonZeroU32::MIN);
        Ticket { seq: Seq(self.seq as u64), nonce: self.nonce, mode: self.mode, limit }
    }
}

/// Reads a mode that was stored as its letter.
pub(crate) fn read_mode(row: &Row<'_>, column: usize) -> rusqlite::Result<Mode> {
    let letter = row.get_ref(column)?.as_str()?;
    Mode::parse(letter).ok_or_else(|| {
        let cause = format!("\"{letter}\" is not the mode of an entry");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause.into())
    })
}

impl Line {
    /// The row of `roster`, if it has one.
    pub(crate) fn find(db: &Connection, namespace: &str, roster: &Roster) -> Outcome<Option<Self>> {
        let mut select =
            db.prepare_cached(&format!("SELECT {LINE} FROM rosters WHERE namespace = ?1 AND kind = ?2 AND name = ?3"))?;
        let key = params![namespace, roster.kind.as_str(), roster.name.as_bytes()];
        Ok(select.query_row(key, Self::read).optional()?)
    }

    /// The row with this id.
    pub(crate) fn with_id(db: &Connection, id: i64) -> Outcome<Option<Self>> {
        let mut select = db.prepare_cached(&format!("SELECT {LINE} FROM rosters WHERE id = ?1"))?;
        Ok(select.query_row([id], Self::read).optional()?)
    }

    /// Adds a row for `roster`, which has none.
    pub(crate) fn make(db: &Connection, namespace: &str, roster: &Roster) -> Outcome<Self> {
        let mut insert = db.prepare_cached("INSERT INTO rosters (namespace, kind, name) VALUES (?1, ?2, ?3)")?;
        let id = insert.insert(params![namespace, roster.kind.as_str(), roster.name.as_bytes()])?;
        Ok(Self { id, declared: false, greatest_limit: 1, watched: false, occupied: false })
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (id, declared, greatest_limit) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Self { id, declared, greatest_limit, watched: row.get(3)?, occupied: row.get(4)? })
    }

    pub(crate) fn entry(&self, db: &Connection, seq: i64) -> Outcome<Option<Stored>> {
        let mut select = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM entries WHERE roster = ?1 AND mode IN ('x', 's', 'm') AND seq = ?2"
        ))?;
        Ok(select.query_row([self.id, seq], Stored::read).optional()?)
    }

    /// As [`entry`](Self::entry), for who knows its mode.
    pub(crate) fn entry_in(&self, db: &Connection, mode: Mode, seq: i64) -> Outcome<Option<Stored>> {
        let mut select =
            db.prepare_cached(&format!("SELECT {COLUMNS} FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3"))?;
        Ok(select.query_row(params![self.id, mode.as_str(), seq], Stored::read).optional()?)
    }

    pub(crate) fn entry_of_key(&self, db: &Connection, key: &[u8]) -> Outcome<Option<Stored>> {
        let mut select = db.prepare_cached(&format!("SELECT {COLUMNS} FROM entries WHERE roster = ?1 AND key = ?2"))?;
        Ok(select.query_row(params![self.id, key], Stored::read).optional()?)
    }

    pub(crate) fn is_empty(&self, db: &Connection) -> Outcome<bool> {
        Ok(!db.prepare_cached("SELECT 1 FROM entries WHERE roster = ?1 LIMIT 1")?.exists([self.id])?)
    }

    /// The entries before `before` that conflict with `mode`, the nearest first, and at most `limit` of them: if there
    /// are that many, an entry at `before` is blocked.
    pub(crate) fn blockers(&self, db: &Connection, mode: Mode, before: i64, limit: u32) -> Outcome<Vec<i64>> {
        let conflicting: &[Mode] = match mode {
            Mode::Exclusive => &[Mode::Exclusive, Mode::Shared],
            Mode::Shared => &[Mode::Exclusive],
            Mode::Member => &[],
        };
        let mut found: Vec<i64> = Vec::new();
        for mode in conflicting {
            let mut select = db.prepare_cached(
                "SELECT seq FROM entries WHERE roster = ?1 AND mode = ?2 AND seq < ?3 ORDER BY seq DESC",
            )?;
            let rows = select.query_map(params![self.id, mode.as_str(), before], |row| row.get(0))?;
            // SQLite would compile a statement anew for each LIMIT that is bound.
            for seq in rows.take(limit as usize) {
                found.push(seq?);
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(limit as usize);
        Ok(found)
    }

    /// What became of an entry that stands.
    pub(crate) fn standing(&self, db: &Connection, entry: &Stored) -> Outcome<Standing> {
        let ticket = entry.ticket();
        if entry.admitted {
            return Ok(Standing::Admitted(ticket));
        }
        let nearest = self.blockers(db, entry.mode, entry.seq, 1)?.first().copied().ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "an entry waits in the database although nothing stands before it")
        })?;
        Ok(Standing::Waiting { ticket, blocked_by: Seq(nearest as u64) })
    }

    /// Removes an entry that stands, admits whom that admits, and wakes those whom it concerns.
    pub(crate) fn remove(&self, work: &mut Work<'_>, entry: &Stored) -> Outcome<()> {
        let mut delete = work.db.prepare_cached("DELETE FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
        delete.execute(params![self.id, entry.mode.as_str(), entry.seq])?;
        if !entry.admitted {
            work.poke_session(entry.session, Poke::Removed(entry.seq))?;
        }
        if self.is_empty(work.db)? {
            self.emptied(work);
        } else if entry.mode != Mode::Member {
            self.admit(work)?;
        }
        self.changed(work)
    }

    /// Removes an entry that is not ours, and leaves word for its session.
    pub(crate) fn evict(&self, work: &mut Work<'_>, seq: i64) -> Outcome<bool> {
        let Some(entry) = self.entry(work.db, seq)? else { return Ok(false) };
        self.remove(work, &entry)?;
        if let Some(peer) = work.peer_of(entry.session)? {
            let mut insert = work.db.prepare_cached("INSERT INTO evictions VALUES (?1, ?2, ?3)")?;
            insert.execute(params![peer, entry.session, entry.nonce.0.to_be_bytes()])?;
            work.poke(peer, Poke::Evictions);
        }
        Ok(true)
    }

    /// Begins or ends the durable existence of the roster. It ends only when no entry stands.
    pub(crate) fn declare(mut self, work: &mut Work<'_>, declared: bool) -> Outcome<()> {
        self.declared = declared;
        let mut update = work.db.prepare_cached("UPDATE rosters SET declared = ?2 WHERE id = ?1")?;
        update.execute(params![self.id, declared])?;
        if !declared {
            self.emptied(work);
        }
        self.changed(work)
    }

    /// Sees to it that `admit` looks far enough for an entry with this limit.
    pub(crate) fn allow(&self, db: &Connection, limit: u32) -> Outcome<()> {
        if limit > self.greatest_limit {
            let mut update = db.prepare_cached("UPDATE rosters SET greatest_limit = ?2 WHERE id = ?1")?;
            update.execute(params![self.id, limit])?;
        }
        Ok(())
    }

    /// Pokes those who watch.
    pub(crate) fn changed(&self, work: &mut Work<'_>) -> Outcome<()> {
        if !self.watched {
            return Ok(());
        }
        let mut select = work.db.prepare_cached("SELECT peer FROM watchers WHERE roster = ?1")?;
        let peers: Vec<i64> = select.query_map([self.id], |row| row.get(0))?.collect::<Result<_, _>>()?;
        peers.into_iter().for_each(|peer| work.poke(peer, Poke::Roster(self.id)));
        Ok(())
    }

    /// Notes that no entry stands any more. Without any a roster is like one that has no row, unless it is declared; the
    /// row is left for the next entry, and removed soon if none comes.
    fn emptied(&self, work: &mut Work<'_>) {
        if !self.declared {
            work.idle.push(self.id);
        }
    }

    /// Removes the row of a roster that nobody would miss.
    pub(crate) fn tidy(db: &Connection, id: i64) -> Outcome<()> {
        let mut delete = db.prepare_cached(
            "DELETE FROM rosters WHERE id = ?1 AND declared = 0
             AND NOT EXISTS (SELECT 1 FROM entries WHERE roster = ?1)
             AND NOT EXISTS (SELECT 1 FROM watchers WHERE roster = ?1)",
        )?;
        delete.execute([id])?;
        Ok(())
    }

    /// Marks the waiting entries that have become admitted, and pokes their peers. Looks only at the head of the line:
    /// behind as many exclusive entries as the greatest limit nobody can be.
    fn admit(&self, work: &mut Work<'_>) -> Outcome<()> {
        let mut after = 0;
        while let Some(entry) = self.first_waiting(work.db, after)? {
            let blockers = self.blockers(work.db, entry.mode, entry.seq, entry.permits)?;
            if blockers.len() < entry.permits as usize {
                let mut update = work
                    .db
                    .prepare_cached("UPDATE entries SET admitted = 1 WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
                update.execute(params![self.id, entry.mode.as_str(), entry.seq])?;
                work.poke_session(entry.session, Poke::Admitted(entry.seq))?;
            }
            // A shared entry behind conflicts with the exclusive ones only, this one included.
            let exclusive = self.blockers(work.db, Mode::Shared, entry.seq + 1, self.greatest_limit)?;
            if exclusive.len() >= self.greatest_limit as usize {
                break;
            }
            after = entry.seq;
        }
        Ok(())
    }

    fn first_waiting(&self, db: &Connection, after: i64) -> Outcome<Option<Stored>> {
        let mut select = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM entries WHERE roster = ?1 AND admitted = 0 AND seq > ?2 ORDER BY seq LIMIT 1"
        ))?;
        Ok(select.query_row([self.id, after], Stored::read).optional()?)
    }
}
