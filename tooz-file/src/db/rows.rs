//! The rows of rosters and entries. Everything here runs inside a transaction.
//!
//! `entries.admitted` mirrors the rule of `tooz_core::driver::admission`. A transaction that removes an entry walks the
//! waiting entries from the front, marks those that are admitted now and notifies their processes. It stops behind as
//! many exclusive entries as the greatest limit in the roster, because no entry behind them can be admitted.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tooz_core::driver::{Mode, Nonce, Roster, Seq, Standing, Ticket};
use tooz_core::{Error, ErrorKind};

use super::transaction::{NAMES, Transaction};
use crate::error::Outcome;
use crate::peers::notify::Notification;

/// The row of a roster, as it was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RosterRow {
    pub(crate) id: i64,
    pub(crate) declared: bool,
    /// At least the limit of every entry.
    greatest_limit: u32,
    /// Whether any process watches it.
    watched: bool,
    /// Whether it has any entry.
    pub(crate) occupied: bool,
    /// Whether any entry waits.
    contended: bool,
}

/// An entry, without its key and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRow {
    pub(crate) seq: i64,
    pub(crate) session: i64,
    pub(crate) nonce: Nonce,
    pub(crate) mode: Mode,
    pub(crate) permits: u32,
    pub(crate) admitted: bool,
}

/// The columns that [`RosterRow::read`] reads.
macro_rules! roster_columns {
    () => {
        "id, declared, greatest_limit, EXISTS (SELECT 1 FROM watchers WHERE roster = rosters.id),
         EXISTS (SELECT 1 FROM entries WHERE roster = rosters.id),
         EXISTS (SELECT 1 FROM entries WHERE roster = rosters.id AND admitted = 0)"
    };
}

/// The columns that [`EntryRow::read`] reads.
macro_rules! entry_columns {
    () => {
        "seq, session, nonce, mode, permits, admitted"
    };
}

impl EntryRow {
    /// Reads the row. A nonce or limit that no version of this program writes does not keep others from the roster: the
    /// entry still counts in the queue, and can be evicted.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            session: row.get(1)?,
            nonce: Nonce(row.get(2).map_or(0, u128::from_be_bytes)),
            mode: read_mode(row, 3)?,
            permits: row.get(4).unwrap_or(1),
            admitted: row.get(5)?,
        })
    }

    pub(crate) fn ticket(&self) -> Ticket {
        let limit = self.permits.try_into().unwrap_or(std::num::NonZeroU32::MIN);
        Ticket { seq: seq_of(self.seq), nonce: self.nonce, mode: self.mode, limit }
    }
}

/// The number that a row has, which is never negative.
pub(crate) fn seq_of(number: i64) -> Seq {
    Seq(number.max(0) as u64)
}

/// The number that the row of `seq` has. No row has a number beyond the range of SQLite's integers.
pub(crate) fn number_of(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(-1)
}

/// Reads a mode that was stored as its letter.
pub(crate) fn read_mode(row: &Row<'_>, column: usize) -> rusqlite::Result<Mode> {
    let letter = row.get_ref(column)?.as_str()?;
    Mode::parse(letter).ok_or_else(|| {
        let cause = format!("\"{letter}\" is not the mode of an entry");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause.into())
    })
}

impl RosterRow {
    /// The row of `roster`, if it has one.
    pub(crate) fn find(db: &Connection, namespace: &str, roster: &Roster) -> Outcome<Option<Self>> {
        let mut select = db.prepare_cached(concat!(
            "SELECT ",
            roster_columns!(),
            " FROM rosters WHERE namespace = ?1 AND kind = ?2 AND name = ?3"
        ))?;
        let key = params![namespace, roster.kind.as_str(), roster.name.as_bytes()];
        Ok(select.query_row(key, Self::read).optional()?)
    }

    /// The row with this id.
    pub(crate) fn with_id(db: &Connection, id: i64) -> Outcome<Option<Self>> {
        let mut select = db.prepare_cached(concat!("SELECT ", roster_columns!(), " FROM rosters WHERE id = ?1"))?;
        Ok(select.query_row([id], Self::read).optional()?)
    }

    /// Adds a row for `roster`, which has none.
    pub(crate) fn insert(db: &Connection, namespace: &str, roster: &Roster) -> Outcome<Self> {
        let mut insert = db.prepare_cached("INSERT INTO rosters (namespace, kind, name) VALUES (?1, ?2, ?3)")?;
        let id = insert.insert(params![namespace, roster.kind.as_str(), roster.name.as_bytes()])?;
        Ok(Self { id, declared: false, greatest_limit: 1, watched: false, occupied: false, contended: false })
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            declared: row.get(1)?,
            greatest_limit: row.get(2)?,
            watched: row.get(3)?,
            occupied: row.get(4)?,
            contended: row.get(5)?,
        })
    }

    pub(crate) fn entry(&self, db: &Connection, mode: Mode, seq: i64) -> Outcome<Option<EntryRow>> {
        let mut select = db.prepare_cached(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3"
        ))?;
        Ok(select.query_row(params![self.id, mode.as_str(), seq], EntryRow::read).optional()?)
    }

    /// The entry at `seq`, whatever its mode is.
    pub(crate) fn entry_at(&self, db: &Connection, seq: i64) -> Outcome<Option<EntryRow>> {
        // One mode after the other: for several modes at once, SQLite builds a temporary table, which takes longer.
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Member] {
            if let Some(entry) = self.entry(db, mode, seq)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    pub(crate) fn entry_of_key(&self, db: &Connection, key: &[u8]) -> Outcome<Option<EntryRow>> {
        let mut select =
            db.prepare_cached(concat!("SELECT ", entry_columns!(), " FROM entries WHERE roster = ?1 AND key = ?2"))?;
        Ok(select.query_row(params![self.id, key], EntryRow::read).optional()?)
    }

    /// The entries up to `last` that conflict with `mode`, the nearest first, and at most `limit` of them: if there are
    /// that many, an entry behind `last` is blocked.
    pub(crate) fn blockers(&self, db: &Connection, mode: Mode, last: i64, limit: u32) -> Outcome<Vec<EntryRow>> {
        let mut found: Vec<EntryRow> = Vec::new();
        for mode in mode.conflicting() {
            let mut select = db.prepare_cached(concat!(
                "SELECT ",
                entry_columns!(),
                " FROM entries WHERE roster = ?1 AND mode = ?2 AND seq <= ?3 ORDER BY seq DESC"
            ))?;
            let rows = select.query_map(params![self.id, mode.as_str(), last], EntryRow::read)?;
            // SQLite would compile the statement anew for each LIMIT that is bound.
            for entry in rows.take(limit as usize) {
                found.push(entry?);
            }
        }
        found.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.seq));
        found.truncate(limit as usize);
        Ok(found)
    }

    /// What became of an entry that is in the roster.
    pub(crate) fn standing(&self, db: &Connection, entry: &EntryRow) -> Outcome<Standing> {
        let ticket = entry.ticket();
        if entry.admitted {
            return Ok(Standing::Admitted(ticket));
        }
        let nearest = self.blockers(db, entry.mode, entry.seq - 1, 1)?.first().copied().ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "an entry waits in the database although no entry is before it")
        })?;
        Ok(Standing::Waiting { ticket, blocked_by: seq_of(nearest.seq) })
    }

    /// Removes the entry of a ticket if it belongs to `session`. Returns whether it did.
    pub(crate) fn remove(&self, tx: &mut Transaction<'_>, session: i64, ticket: &Ticket) -> Outcome<bool> {
        let mut delete = tx.db.prepare_cached(
            "DELETE FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3 AND nonce = ?4 AND session = ?5",
        )?;
        let (mode, seq, nonce) = (ticket.mode.as_str(), number_of(ticket.seq), ticket.nonce.0.to_be_bytes());
        let removed = delete.execute(params![self.id, mode, seq, nonce, session])? == 1;
        if removed {
            if self.contended {
                // The entry may have been one that waits, and a task of this process may wait for its turn.
                tx.notify(tx.me, Notification::Turn(seq));
            }
            self.after_removal(tx)?;
        }
        Ok(removed)
    }

    /// Removes an entry of any session, wakes a client that waits for its turn, and reports the eviction to the session.
    pub(crate) fn evict(&self, tx: &mut Transaction<'_>, entry: &EntryRow) -> Outcome<()> {
        let mut delete = tx.db.prepare_cached("DELETE FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
        delete.execute(params![self.id, entry.mode.as_str(), entry.seq])?;
        self.after_removal(tx)?;
        if let Some(peer) = tx.peer_of(entry.session)? {
            let mut insert = tx.db.prepare_cached("INSERT INTO evictions VALUES (?1, ?2, ?3)")?;
            insert.execute(params![peer, entry.session, entry.nonce.0.to_be_bytes()])?;
            tx.notify(peer, Notification::Evictions);
            tx.notify(peer, Notification::Turn(entry.seq));
        }
        Ok(())
    }

    /// Records that entries were removed: admits others and notifies the processes that this concerns.
    pub(crate) fn after_removal(&self, tx: &mut Transaction<'_>) -> Outcome<()> {
        if self.contended {
            self.admit(tx)?;
        }
        tx.idle.push(self.id);
        self.notify_watchers(tx)
    }

    /// Begins or ends the durable existence of the roster. It ends only when there is no entry.
    pub(crate) fn set_declared(&self, tx: &mut Transaction<'_>, declared: bool) -> Outcome<()> {
        let mut update = tx.db.prepare_cached("UPDATE rosters SET declared = ?2 WHERE id = ?1")?;
        update.execute(params![self.id, declared])?;
        match declared {
            true => tx.notify_watchers(NAMES)?,
            false => tx.idle.push(self.id),
        }
        self.notify_watchers(tx)
    }

    /// Makes [`admit`](Self::admit) look far enough for an entry with this limit.
    pub(crate) fn raise_limit(&self, db: &Connection, limit: u32) -> Outcome<()> {
        if limit > self.greatest_limit {
            let mut update = db.prepare_cached("UPDATE rosters SET greatest_limit = ?2 WHERE id = ?1")?;
            update.execute(params![self.id, limit])?;
        }
        Ok(())
    }

    /// Notifies the processes that watch the roster.
    pub(crate) fn notify_watchers(&self, tx: &mut Transaction<'_>) -> Outcome<()> {
        if self.watched { tx.notify_watchers(self.id) } else { Ok(()) }
    }

    /// Removes the row of a roster that is empty, undeclared and unwatched, which is the same as a roster without a row.
    pub(crate) fn remove_unused(db: &Connection, id: i64) -> Outcome<()> {
        let mut delete = db.prepare_cached(
            "DELETE FROM rosters WHERE id = ?1 AND declared = 0
             AND NOT EXISTS (SELECT 1 FROM entries WHERE roster = ?1)
             AND NOT EXISTS (SELECT 1 FROM watchers WHERE roster = ?1)",
        )?;
        delete.execute([id])?;
        Ok(())
    }

    /// Marks the waiting entries that are admitted now, and notifies their processes.
    fn admit(&self, tx: &mut Transaction<'_>) -> Outcome<()> {
        let mut after = 0;
        while let Some(entry) = self.first_waiting(tx.db, after)? {
            let blockers = self.blockers(tx.db, entry.mode, entry.seq - 1, entry.permits)?;
            if blockers.len() < entry.permits as usize {
                let mut update = tx
                    .db
                    .prepare_cached("UPDATE entries SET admitted = 1 WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
                update.execute(params![self.id, entry.mode.as_str(), entry.seq])?;
                tx.notify_session(entry.session, Notification::Turn(entry.seq))?;
            }
            // Every mode that waits conflicts with exclusive entries, this one included.
            let exclusive = self.blockers(tx.db, Mode::Shared, entry.seq, self.greatest_limit)?;
            if exclusive.len() >= self.greatest_limit as usize {
                break;
            }
            after = entry.seq;
        }
        Ok(())
    }

    fn first_waiting(&self, db: &Connection, after: i64) -> Outcome<Option<EntryRow>> {
        let mut select = db.prepare_cached(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries WHERE roster = ?1 AND admitted = 0 AND seq > ?2 AND mode IN ('x', 's') ORDER BY seq LIMIT 1"
        ))?;
        Ok(select.query_row([self.id, after], EntryRow::read).optional()?)
    }
}

/// Rows of this many columns that any program may have written.
#[cfg(test)]
pub(crate) fn any_values(columns: usize) -> impl proptest::strategy::Strategy<Value = Vec<rusqlite::types::Value>> {
    use proptest::prelude::*;
    use rusqlite::types::Value;
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Real),
        "[xsm]?|.{0,9}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Blob),
    ];
    prop::collection::vec(value, columns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::params_from_iter;

    use super::*;

    proptest! {
        #[test]
        fn any_row_is_read_or_refused(columns in any_values(6)) {
            let db = Connection::open_in_memory().unwrap();
            let select = "SELECT ?1, ?2, ?3, ?4, ?5, ?6";
            if let Ok(row) = db.query_row(select, params_from_iter(&columns), EntryRow::read) {
                prop_assert_eq!(number_of(row.ticket().seq), row.seq.max(0));
            }
            let _ = db.query_row(select, params_from_iter(&columns), RosterRow::read);
        }
    }
}
