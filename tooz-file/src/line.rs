//! One roster in the database: its row, and the entries that stand in it. Runs inside a transaction.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tooz_core::driver::{Mode, Nonce, Roster, Seq, Standing, Ticket};
use tooz_core::{Error, ErrorKind};

use crate::error::{Outcome, session_lost};
use crate::poke::Poke;
use crate::work::{Clock, Work};

/// The row of a roster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) id: i64,
    pub(crate) declared: bool,
    /// At least the limit of every entry that stands.
    greatest_limit: u32,
    /// Whether any process watches it, as it was found.
    watched: bool,
    /// Whether any entry stood, as it was found, apart from one that was looked for.
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

/// The columns that [`Stored::from_row`] reads.
macro_rules! entry_columns {
    () => {
        "seq, session, nonce, mode, permits, admitted"
    };
}

/// The columns that [`Line::from_row`] reads; `$counted` says which entries make the roster occupied.
macro_rules! line_columns {
    ($counted:literal) => {
        concat!(
            "rosters.id, declared, greatest_limit, EXISTS (SELECT 1 FROM watchers WHERE roster = rosters.id),
             EXISTS (SELECT 1 FROM entries WHERE roster = rosters.id",
            $counted,
            ")"
        )
    };
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_row(row, 0)
    }

    fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(first)?,
            session: row.get(first + 1)?,
            nonce: Nonce(u128::from_be_bytes(row.get(first + 2)?)),
            mode: read_mode(row, first + 3)?,
            permits: row.get(first + 4)?,
            admitted: row.get(first + 5)?,
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
        let mut select = db.prepare_cached(concat!(
            "SELECT ",
            line_columns!(""),
            " FROM rosters WHERE namespace = ?1 AND kind = ?2 AND name = ?3"
        ))?;
        let key = params![namespace, roster.kind.as_str(), roster.name.as_bytes()];
        Ok(select.query_row(key, Self::read).optional()?)
    }

    /// The row of `roster`, if it has one, and the clock. Fails if others hold this process for dead.
    pub(crate) fn find_alive(work: &mut Work<'_>, namespace: &str, roster: &Roster) -> Outcome<Option<Self>> {
        // One statement instead of three, since each costs more than what it looks for.
        let mut select = work.db.prepare_cached(concat!(
            "SELECT clock.permits, clock.value, EXISTS (SELECT 1 FROM peers WHERE id = ?1), ",
            line_columns!(""),
            " FROM entries AS clock LEFT JOIN rosters ON namespace = ?2 AND kind = ?3 AND name = ?4
             WHERE clock.roster = 0 AND clock.mode = 'c' AND clock.seq = 0"
        ))?;
        let key = params![work.me, namespace, roster.kind.as_str(), roster.name.as_bytes()];
        let (clock, alive, line) = select.query_row(key, |row| {
            let found = row.get_ref(3)? != ValueRef::Null;
            let line = found.then(|| Self::from_row(row, 3)).transpose()?;
            Ok((Clock::from_row(row, 0)?, row.get::<_, bool>(2)?, line))
        })?;
        work.clock = Some(clock);
        if alive { Ok(line) } else { Err(session_lost().into()) }
    }

    /// The row with this id, in which the entry of `ticket` stands.
    pub(crate) fn find_with(db: &Connection, id: i64, ticket: &Ticket) -> Outcome<Option<(Self, Stored)>> {
        let mut select = db.prepare_cached(concat!(
            "SELECT ",
            line_columns!(" AND (mode, seq) <> (?2, ?3)"),
            ", ",
            entry_columns!(),
            " FROM rosters JOIN entries ON roster = rosters.id AND mode = ?2 AND seq = ?3 WHERE rosters.id = ?1"
        ))?;
        let key = params![id, ticket.mode.as_str(), ticket.seq.0 as i64];
        let found = select.query_row(key, |row| Ok((Self::from_row(row, 0)?, Stored::from_row(row, 5)?)));
        Ok(found.optional()?.filter(|(_, entry)| entry.nonce == ticket.nonce))
    }

    /// The row with this id.
    pub(crate) fn with_id(db: &Connection, id: i64) -> Outcome<Option<Self>> {
        let mut select =
            db.prepare_cached(concat!("SELECT ", line_columns!(""), " FROM rosters WHERE rosters.id = ?1"))?;
        Ok(select.query_row([id], Self::read).optional()?)
    }

    /// Adds a row for `roster`, which has none.
    pub(crate) fn make(db: &Connection, namespace: &str, roster: &Roster) -> Outcome<Self> {
        let mut insert = db.prepare_cached("INSERT INTO rosters (namespace, kind, name) VALUES (?1, ?2, ?3)")?;
        let id = insert.insert(params![namespace, roster.kind.as_str(), roster.name.as_bytes()])?;
        Ok(Self { id, declared: false, greatest_limit: 1, watched: false, occupied: false })
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_row(row, 0)
    }

    fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let (id, declared, greatest_limit) = (row.get(first)?, row.get(first + 1)?, row.get(first + 2)?);
        Ok(Self { id, declared, greatest_limit, watched: row.get(first + 3)?, occupied: row.get(first + 4)? })
    }

    pub(crate) fn entry(&self, db: &Connection, seq: i64) -> Outcome<Option<Stored>> {
        // One mode after the other: SQLite makes a table of those that it is given together, which takes longer.
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Member] {
            let mut select = db.prepare_cached(concat!(
                "SELECT ",
                entry_columns!(),
                " FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3"
            ))?;
            let key = params![self.id, mode.as_str(), seq];
            if let Some(found) = select.query_row(key, Stored::read).optional()? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(crate) fn entry_of_key(&self, db: &Connection, key: &[u8]) -> Outcome<Option<Stored>> {
        let mut select =
            db.prepare_cached(concat!("SELECT ", entry_columns!(), " FROM entries WHERE roster = ?1 AND key = ?2"))?;
        Ok(select.query_row(params![self.id, key], Stored::read).optional()?)
    }

    pub(crate) fn is_empty(&self, db: &Connection) -> Outcome<bool> {
        Ok(!db.prepare_cached("SELECT 1 FROM entries WHERE roster = ?1 LIMIT 1")?.exists([self.id])?)
    }

    /// The entries before `before` that conflict with `mode`, the nearest first, and at most `limit` of them: if there
    /// are that many, an entry at `before` is blocked.
    pub(crate) fn blockers(&self, db: &Connection, mode: Mode, before: i64, limit: u32) -> Outcome<Vec<i64>> {
        let mut found: Vec<i64> = Vec::new();
        for mode in mode.conflicting() {
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
        let mut others =
            work.db.prepare_cached("SELECT 1 FROM entries WHERE roster = ?1 AND (mode, seq) <> (?2, ?3)")?;
        let occupied = others.exists(params![self.id, entry.mode.as_str(), entry.seq])?;
        Self { occupied, ..*self }.remove_found(work, entry)
    }

    /// As [`remove`](Self::remove), for the entry that [`find_with`](Self::find_with) has looked for.
    pub(crate) fn remove_found(&self, work: &mut Work<'_>, entry: &Stored) -> Outcome<()> {
        let mut delete = work.db.prepare_cached("DELETE FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
        delete.execute(params![self.id, entry.mode.as_str(), entry.seq])?;
        if !entry.admitted {
            work.poke_session(entry.session, Poke::Removed(entry.seq))?;
        }
        if !self.occupied {
            self.emptied(work);
        } else if entry.mode != Mode::Member {
            self.admit(work, entry)?;
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

    /// Marks the waiting entries that have become admitted since this one went, and pokes their peers. Looks only at the
    /// head of the line: behind as many exclusive entries as the greatest limit nobody can be.
    fn admit(&self, work: &mut Work<'_>, gone: &Stored) -> Outcome<()> {
        // With no limit above 1, nothing that conflicts stands before an exclusive entry that is admitted, and all that
        // conflicts behind it waits: so nothing is left before the first of these.
        let mut surely = gone.mode == Mode::Exclusive && gone.admitted && self.greatest_limit == 1;
        let mut after = 0;
        while let Some((entry, peer)) = self.first_waiting(work.db, after)? {
            if surely || self.has_room(work.db, &entry)? {
                let mut update = work
                    .db
                    .prepare_cached("UPDATE entries SET admitted = 1 WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
                update.execute(params![self.id, entry.mode.as_str(), entry.seq])?;
                peer.into_iter().for_each(|peer| work.poke(peer, Poke::Admitted(entry.seq)));
            }
            if entry.mode == Mode::Exclusive && self.greatest_limit == 1 {
                break;
            }
            // A shared entry behind conflicts with the exclusive ones only, this one included.
            let exclusive = self.blockers(work.db, Mode::Shared, entry.seq + 1, self.greatest_limit)?;
            if exclusive.len() >= self.greatest_limit as usize {
                break;
            }
            (after, surely) = (entry.seq, false);
        }
        Ok(())
    }

    /// Whether fewer entries than its limit block an entry.
    fn has_room(&self, db: &Connection, entry: &Stored) -> Outcome<bool> {
        let blockers = self.blockers(db, entry.mode, entry.seq, entry.permits)?;
        Ok(blockers.len() < entry.permits as usize)
    }

    /// The first entry behind `after` that waits, with its peer.
    fn first_waiting(&self, db: &Connection, after: i64) -> Outcome<Option<(Stored, Option<i64>)>> {
        let mut select = db.prepare_cached(concat!(
            "SELECT ",
            entry_columns!(),
            ", (SELECT peer FROM sessions WHERE id = session)
             FROM entries WHERE roster = ?1 AND admitted = 0 AND seq > ?2 ORDER BY seq LIMIT 1"
        ))?;
        Ok(select.query_row([self.id, after], |row| Ok((Stored::read(row)?, row.get(6)?))).optional()?)
    }
}
