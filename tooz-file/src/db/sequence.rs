//! The sequence that numbers entries: one row of the table of entries, which belongs to no roster.
//!
//! - The row is in this table because each commit writes whole pages: while there are few entries, the row and the new
//!   entry are on one page. A table of its own makes an uncontended acquire and release a tenth slower. No other file
//!   knows of it: column `permits` is the newest number, column `value` the greatest reserved one.
//! - An entry takes the next number in the transaction that adds it, so numbers rise in the order of the queue.
//! - A number is given out only when the disk knows that it may have been: processes reserve blocks of numbers with an
//!   `fsync`, as a PostgreSQL sequence does in its log. After a power cut the sequence continues behind the reserved block.
//! - The first process that opens the directory also advances the sequence to the clock in microseconds, so that it
//!   rises even if the directory was emptied.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, params};
use tooz_core::driver::support::session_lost;
use tooz_core::{Error, ErrorKind};

use crate::error::Outcome;

/// How many numbers are reserved at once.
const BLOCK: i64 = 1 << 16;

/// Which row it is.
macro_rules! row {
    () => {
        "roster = 0 AND mode = 'c' AND seq = 0"
    };
}

/// The row, as this process read it last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) last: i64,
    reserved: i64,
}

impl Sequence {
    pub(crate) fn read(db: &Connection) -> Outcome<Self> {
        Ok(db
            .prepare_cached(concat!("SELECT permits, value FROM entries WHERE ", row!()))?
            .query_row([], Self::from_row)?)
    }

    /// Takes the next number, if `peer` is still in the table of peers and there is another number.
    pub(crate) fn advance(db: &Connection, peer: i64) -> Outcome<Self> {
        // Two statements, since UPDATE with RETURNING creates a temporary table, which takes longer than all others.
        let mut select = db.prepare_cached(concat!(
            "SELECT permits, value FROM entries WHERE ",
            row!(),
            " AND EXISTS (SELECT 1 FROM peers WHERE id = ?1)"
        ))?;
        let found = select.query_row([peer], Self::from_row).optional()?.ok_or_else(session_lost)?;
        let last = found.last.checked_add(1).ok_or_else(|| {
            let message = "the database has given out its last fencing token; move the directory away to start afresh";
            Error::new(ErrorKind::Corrupt, message)
        })?;
        Self { last, ..found }.write(db)
    }

    /// Whether less than half a block is left. The other half is for other processes that have not noticed yet.
    pub(crate) fn is_short(&self) -> bool {
        self.reserved.saturating_sub(self.last) < BLOCK / 2
    }

    /// Reserves a block. The caller commits it durably.
    pub(crate) fn reserve(db: &Connection) -> Outcome<Self> {
        let found = Self::read(db)?;
        Self { reserved: found.last.saturating_add(BLOCK), ..found }.write(db)
    }

    /// Advances the sequence behind all numbers that it may have given before, when no other process lives.
    pub(crate) fn restart(db: &Connection) -> Outcome<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        let found = Self::read(db)?;
        let last = found.last.max(found.reserved).max(now);
        // Nothing is reserved yet, so the first process that takes a number reserves a block before.
        Self { last, reserved: last }.write(db)
    }

    fn write(self, db: &Connection) -> Outcome<Self> {
        let mut update = db.prepare_cached(concat!("UPDATE entries SET permits = ?1, value = ?2 WHERE ", row!()))?;
        update.execute(params![self.last, self.reserved])?;
        Ok(self)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { last: row.get(0)?, reserved: row.get(1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::schema;

    #[test]
    fn the_last_number_is_refused_not_repeated() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema::TABLES).unwrap();
        db.execute_batch("UPDATE entries SET permits = 9223372036854775806, value = 9223372036854775806").unwrap();
        assert!(Sequence::reserve(&db).is_ok());
        assert!(Sequence::advance(&db, 1).is_err(), "the peer is unknown");
        db.execute_batch("INSERT INTO peers VALUES (1)").unwrap();
        assert_eq!(Sequence::advance(&db, 1).unwrap().last, i64::MAX);
        for _ in 0..2 {
            assert!(Sequence::advance(&db, 1).is_err());
        }
    }

    #[test]
    fn a_restart_goes_behind_the_reserved_block_and_the_clock() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema::TABLES).unwrap();
        let restarted = Sequence::restart(&db).unwrap();
        assert!(restarted.last > 1_500_000_000_000_000 && restarted.is_short());
        let reserved = Sequence::reserve(&db).unwrap();
        assert!(!reserved.is_short());
        assert_eq!(Sequence::restart(&db).unwrap().last, reserved.reserved);
    }
}
