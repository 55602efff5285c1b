//! The rows of rosters and entries, and how a removal admits others. Everything here runs inside a transaction.
//!
//! `entries.admitted` mirrors the rule of `tooz_core::driver::admission`. A transaction that removes an entry walks the
//! waiting entries from the front, marks those that are admitted now and notifies their processes. It stops after as many
//! exclusive entries as the greatest limit in the roster, because no entry after them can be admitted.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use tooz_core::driver::{Mode, Nonce, Seq, Standing, Ticket};

use super::objects::{self, Target};
use super::transaction::Transaction;
use crate::error::Outcome;
use crate::peers::notify::Notification;

/// How many changes a watched roster keeps for its followers.
const CHANGES_KEPT: i64 = 100;

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
    pub(crate) ticket: Ticket,
    pub(crate) peer: i64,
    pub(crate) admitted: bool,
}

/// What `changes` says about an entry or a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Entered(Mode, i64),
    Replaced(Mode, i64),
    Left(i64),
    Declared(bool),
}

/// The seq of a number in a row, which is never negative.
pub(crate) fn seq_of(number: i64) -> Seq {
    Seq(number.max(0) as u64)
}

/// The number of a seq, as a row stores it. No row has a number beyond the range of SQLite's integers.
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

impl EntryRow {
    /// Reads the first entry that fulfils a condition.
    fn find(db: &Connection, condition: &str, params: &[&dyn ToSql]) -> Outcome<Option<Self>> {
        Ok(Self::select(db, condition, params, 1)?.pop())
    }

    /// Reads the first `limit` entries that fulfil a condition.
    fn select(db: &Connection, condition: &str, params: &[&dyn ToSql], limit: usize) -> Outcome<Vec<Self>> {
        let columns = "seq, peer, nonce, mode, permits, admitted";
        let mut select =
            db.prepare_cached(&format!("SELECT {columns} FROM entries WHERE roster = ?1 AND {condition}"))?;
        // SQLite would compile the statement anew for each LIMIT that is bound.
        Ok(select.query_map(params, Self::read)?.take(limit).collect::<Result<_, _>>()?)
    }

    /// Reads the row. A nonce or limit that no version of this program writes does not keep others from the roster: the
    /// entry still counts in the queue, and can be evicted.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let ticket = Ticket {
            seq: seq_of(row.get(0)?),
            nonce: Nonce(row.get(2).map_or(0, u128::from_be_bytes)),
            mode: read_mode(row, 3)?,
            limit: row.get::<_, u32>(4).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
        };
        Ok(Self { ticket, peer: row.get(1)?, admitted: row.get(5)? })
    }
}

impl RosterRow {
    /// The row of a roster, if it has one.
    pub(crate) fn find(db: &Connection, target: &Target) -> Outcome<Option<Self>> {
        let mut select = db.prepare_cached(
            "SELECT id, declared, greatest_limit, watched, occupied, contended FROM object_states
             WHERE namespace = ?1 AND kind = ?2 AND name = ?3",
        )?;
        let key = params![target.namespace, target.kind, target.name.as_bytes()];
        Ok(select.query_row(key, Self::read).optional()?)
    }

    /// The row with this id.
    pub(crate) fn with_id(db: &Connection, id: i64) -> Outcome<Option<Self>> {
        let mut select = db.prepare_cached(
            "SELECT id, declared, greatest_limit, watched, occupied, contended FROM object_states WHERE id = ?1",
        )?;
        Ok(select.query_row([id], Self::read).optional()?)
    }

    /// Adds a row for a roster that has none.
    pub(crate) fn insert(db: &Connection, target: &Target) -> Outcome<Self> {
        let id = objects::insert(db, target)?;
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

    pub(crate) fn entry_at(&self, db: &Connection, seq: Seq) -> Outcome<Option<EntryRow>> {
        EntryRow::find(db, "mode IN ('x', 's', 'm') AND seq = ?2", params![self.id, number_of(seq)])
    }

    pub(crate) fn entry_of_key(&self, db: &Connection, key: &[u8]) -> Outcome<Option<EntryRow>> {
        EntryRow::find(db, "key = ?2", params![self.id, key])
    }

    /// The entries up to `last` that conflict with `mode`, the nearest first, and at most `limit` of them: if there are
    /// that many, an entry after `last` is blocked.
    pub(crate) fn blockers(&self, db: &Connection, mode: Mode, last: i64, limit: u32) -> Outcome<Vec<EntryRow>> {
        let (mut found, limit) = (Vec::new(), limit as usize);
        // One mode after the other: for several modes at once, SQLite sorts all rows first.
        for mode in mode.conflicting() {
            let behind = "mode = ?2 AND seq <= ?3 ORDER BY seq DESC";
            found.extend(EntryRow::select(db, behind, params![self.id, mode.as_str(), last], limit)?);
        }
        found.sort_unstable_by_key(|entry| Reverse(entry.ticket.seq));
        found.truncate(limit);
        Ok(found)
    }

    /// The standing of an entry that is in the roster.
    pub(crate) fn standing(&self, db: &Connection, entry: &EntryRow) -> Outcome<Standing> {
        let ticket = entry.ticket;
        let before = self.blockers(db, ticket.mode, number_of(ticket.seq) - 1, 1)?;
        let nearest = before.first().map_or(ticket.seq, |nearest| nearest.ticket.seq);
        Ok(ticket.standing((!entry.admitted).then_some(nearest)))
    }

    /// Removes entries of a peer, admits others, and notifies their processes. Returns whether any of the entries was in
    /// the roster.
    pub(crate) fn remove(&self, tx: &mut Transaction<'_>, peer: i64, entries: &[(Mode, i64)]) -> Outcome<bool> {
        let mut removed = false;
        for (mode, seq) in entries {
            let mut delete =
                tx.db.prepare_cached("DELETE FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
            if delete.execute(params![self.id, mode.as_str(), seq])? == 1 {
                removed = true;
                if self.contended {
                    // If the entry was waiting, a task may be waiting for its admission.
                    tx.notify(peer, Notification::Turn(*seq));
                }
                self.changed(tx, Changed::Left(*seq))?;
            }
        }
        if removed && self.contended {
            self.admit(tx)?;
        }
        Ok(removed)
    }

    /// Removes an entry of any session, and reports the eviction to the process that owns it.
    pub(crate) fn evict(&self, tx: &mut Transaction<'_>, entry: &EntryRow) -> Outcome<()> {
        let (ticket, peer) = (&entry.ticket, entry.peer);
        self.remove(tx, peer, &[(ticket.mode, number_of(ticket.seq))])?;
        let mut insert = tx.db.prepare_cached("INSERT INTO evictions VALUES (?1, ?2)")?;
        insert.execute(params![peer, ticket.nonce.0.to_be_bytes()])?;
        tx.notify(peer, Notification::Evictions);
        Ok(())
    }

    /// Declares the roster, or retracts it. The caller has checked that a roster to retract has no entries.
    pub(crate) fn set_declared(&self, tx: &mut Transaction<'_>, declared: bool) -> Outcome<()> {
        let mut update = tx.db.prepare_cached("UPDATE objects SET declared = ?2 WHERE id = ?1")?;
        update.execute(params![self.id, declared])?;
        if declared {
            objects::notify_new_name(tx, self.id)?;
        }
        self.changed(tx, Changed::Declared(declared))
    }

    /// Makes [`admit`](Self::admit) look far enough for an entry with this limit.
    pub(crate) fn raise_limit(&self, db: &Connection, limit: u32) -> Outcome<()> {
        if limit > self.greatest_limit {
            let mut update = db.prepare_cached("UPDATE objects SET greatest_limit = ?2 WHERE id = ?1")?;
            update.execute(params![self.id, limit])?;
        }
        Ok(())
    }

    /// If the roster is watched, records a change that the transaction has made, and notifies the watchers.
    pub(crate) fn changed(&self, tx: &mut Transaction<'_>, changed: Changed) -> Outcome<()> {
        if !self.watched {
            return Ok(());
        }
        let (change, mode, seq) = match changed {
            Changed::Entered(mode, seq) => ("entered", mode.as_str(), seq),
            Changed::Replaced(mode, seq) => ("replaced", mode.as_str(), seq),
            Changed::Left(seq) => ("left", "", seq),
            Changed::Declared(true) => ("declared", "", 0),
            Changed::Declared(false) => ("retracted", "", 0),
        };
        let mut insert = tx.db.prepare_cached(
            "INSERT INTO changes SELECT ?1, 1 + (SELECT coalesce(max(version), 0) FROM changes WHERE roster = ?1), ?2, ?4,
             nonce, key, mode, permits, value
             FROM (SELECT 1) LEFT JOIN entries ON roster = ?1 AND mode = ?3 AND seq = ?4",
        )?;
        insert.execute(params![self.id, change, mode, seq])?;
        let mut forget = tx.db.prepare_cached(
            "DELETE FROM changes WHERE roster = ?1
             AND version <= (SELECT max(version) FROM changes WHERE roster = ?1) - ?2",
        )?;
        forget.execute(params![self.id, CHANGES_KEPT])?;
        objects::notify_watchers(tx, self.id)
    }

    /// Marks the waiting entries that are admitted now, and notifies their processes.
    fn admit(&self, tx: &mut Transaction<'_>) -> Outcome<()> {
        let mut after = 0;
        let first = "admitted = 0 AND seq > ?2 AND mode IN ('x', 's') ORDER BY seq LIMIT 1";
        while let Some(EntryRow { ticket, peer, .. }) = EntryRow::find(tx.db, first, params![self.id, after])? {
            let (seq, limit) = (number_of(ticket.seq), ticket.limit.get());
            let blockers = self.blockers(tx.db, ticket.mode, seq - 1, limit)?;
            if blockers.len() < limit as usize {
                let mark = "UPDATE entries SET admitted = 1 WHERE roster = ?1 AND mode = ?2 AND seq = ?3";
                tx.db.prepare_cached(mark)?.execute(params![self.id, ticket.mode.as_str(), seq])?;
                tx.notify(peer, Notification::Turn(seq));
            }
            // Every mode that waits conflicts with exclusive entries, this one included.
            let exclusive = self.blockers(tx.db, Mode::Shared, seq, self.greatest_limit)?;
            if exclusive.len() >= self.greatest_limit as usize {
                break;
            }
            after = seq;
        }
        Ok(())
    }
}

/// Removes entries of a peer. Neighbours of one roster are removed together.
pub(crate) fn remove_entries(tx: &mut Transaction<'_>, peer: i64, entries: &[(i64, Mode, i64)]) -> Outcome<()> {
    for of_one_roster in entries.chunk_by(|one, next| one.0 == next.0) {
        if let Some(row) = RosterRow::with_id(tx.db, of_one_roster[0].0)? {
            let entries: Vec<_> = of_one_roster.iter().map(|(_, mode, seq)| (*mode, *seq)).collect();
            row.remove(tx, peer, &entries)?;
        }
    }
    Ok(())
}

/// Rows of this many columns with arbitrary values, as another program may have written them.
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
                prop_assert_eq!(seq_of(number_of(row.ticket.seq)), row.ticket.seq);
            }
            let _ = db.query_row(select, params_from_iter(&columns), RosterRow::read);
        }
    }
}
