//! The sequence that numbers entries.
//!
//! - An entry takes the next number in the transaction that adds it, so numbers rise in the order of the queue.
//! - A power cut undoes the commits that are not on disk yet, and ends all processes. The first process that opens the
//!   directory after that skips more numbers than such commits can have used. It writes this to disk before it uses a
//!   number itself. (A PostgreSQL sequence skips what its log has reserved, for the same reason.)
//! - The first process also advances the sequence to the clock in microseconds, so that it rises even if the directory
//!   was emptied.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension};
use tooz_core::driver::support::session_lost;
use tooz_core::{Error, ErrorKind};

use crate::error::Outcome;

/// How many numbers the first process skips. This is more than the commits that are not on disk: each process writes the
/// log to disk after a few thousand commits, and the kernel does so within half a minute anyway.
const SKIPPED: i64 = 1 << 24;

/// Takes the next number, if `peer` is still in the table of peers: a dead process adds no entry.
pub(crate) fn next(db: &Connection, peer: i64) -> Outcome<i64> {
    // Two statements, since UPDATE with RETURNING creates a temporary table, which takes longer than everything else here.
    let mut select = db.prepare_cached("SELECT last FROM sequence, peers WHERE id = ?1")?;
    let last: Option<i64> = select.query_row([peer], |row| row.get(0)).optional()?;
    let next = last.ok_or_else(session_lost)?.checked_add(1).ok_or_else(|| {
        let message = "the database has used its last fencing token; move the directory away to start again";
        Error::new(ErrorKind::Corrupt, message)
    })?;
    write(db, next)?;
    Ok(next)
}

/// Advances the sequence beyond all numbers that may have been used before. The caller commits that to disk.
pub(crate) fn restart(db: &Connection) -> Outcome<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    let last: i64 = db.query_row("SELECT last FROM sequence", [], |row| row.get(0))?;
    write(db, last.saturating_add(SKIPPED).max(now))
}

fn write(db: &Connection, last: i64) -> Outcome<()> {
    db.prepare_cached("UPDATE sequence SET last = ?1")?.execute([last])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::schema;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema::TABLES).unwrap();
        db.execute_batch("INSERT INTO peers VALUES (1)").unwrap();
        db
    }

    #[test]
    fn the_last_number_is_refused_not_repeated() {
        let db = database();
        write(&db, i64::MAX - 1).unwrap();
        assert!(next(&db, 2).is_err(), "the peer is unknown");
        assert_eq!(next(&db, 1).unwrap(), i64::MAX);
        for _ in 0..2 {
            assert!(next(&db, 1).is_err());
            restart(&db).unwrap();
        }
    }

    #[test]
    fn a_restart_skips_the_clock_and_all_numbers_that_a_power_cut_may_have_undone() {
        let db = database();
        restart(&db).unwrap();
        assert!(next(&db, 1).unwrap() > 1_500_000_000_000_000);
        write(&db, i64::MAX / 2).unwrap();
        restart(&db).unwrap();
        assert_eq!(next(&db, 1).unwrap(), i64::MAX / 2 + SKIPPED + 1);
    }
}
