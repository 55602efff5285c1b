//! Opens the database: checks what it is before anything is written, switches to WAL, makes the tables.

use std::cell::Cell;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Result as SqlResult};
use tooz_core::{Error, ErrorKind};

use crate::error::{Fault, Outcome};
use crate::layout;

/// How long one look at a busy database waits for the next.
const RETRY: Duration = Duration::from_micros(50);

/// The bytes of a page. A commit writes a few whole pages that it changes a few bytes of, so small ones are faster.
const PAGE: i64 = 1024;

/// Statements that a connection keeps prepared; more than there are.
const STATEMENTS: usize = 96;

thread_local! {
    /// Until when this thread waits for a busy database.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `work`, which may wait for other processes until `deadline`; with `None` it does not wait at all.
pub(crate) fn until<T>(deadline: Option<Instant>, work: impl FnOnce() -> T) -> T {
    let before = DEADLINE.replace(deadline);
    let result = work();
    DEADLINE.set(before);
    result
}

/// Waits a moment for a busy database, unless the deadline has passed. SQLite's own handler sleeps up to 100 ms, which
/// would be most of a hand-over.
fn wait_while_busy() -> bool {
    let patient = DEADLINE.get().is_some_and(|deadline| Instant::now() < deadline);
    if patient {
        thread::sleep(RETRY);
    }
    patient
}

/// Opens the database at `path`, or makes it. Waits for others until the deadline given to [`until`].
pub(crate) fn open(path: &Path) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_handler(Some(|_| wait_while_busy()))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it SQLite compiles a prepared statement anew whenever a value that is bound might favour another plan.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // In one transaction, since another process may be making the tables.
    let is_new = check_identity(&*db.unchecked_transaction()?)?;
    if is_new {
        db.pragma_update(None, "page_size", PAGE)?;
    }
    use_wal(&db)?;
    if is_new {
        set_durable(&db, true)?;
        make_tables(&db)?;
    }
    set_durable(&db, false)?;
    // The engine's thread does it instead, since a checkpoint waits for the disk.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(db)
}

/// With `true`, a commit returns when the disk has it; with `false`, a power cut may undo it, a crash of the process not.
pub(crate) fn set_durable(db: &Connection, durable: bool) -> SqlResult<()> {
    db.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })
}

/// Runs `work` in a transaction of its own that holds the write lock from the start.
pub(crate) fn transaction<T>(db: &Connection, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
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

/// Whether the database is empty; fails if it is not ours or from a newer version. Writes nothing.
fn check_identity(db: &Connection) -> Outcome<bool> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(true),
        (layout::APPLICATION, layout::VERSION) => Ok(false),
        (layout::APPLICATION, newer) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the database is of version {newer}, but this program knows version {} only; use the same version of \
                 tooz-file in all programs that share a directory",
                layout::VERSION
            ),
        )
        .into()),
        _ => Err(Error::new(ErrorKind::Corrupt, "tooz.db holds something else than tooz; it was left as it is").into()),
    }
}

/// Switches to the write-ahead log. SQLite does not wait for others here, so two who come at once must.
fn use_wal(db: &Connection) -> Outcome<()> {
    loop {
        match db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the file system lacks the shared memory that a database of several processes needs",
                )
                .into());
            }
            Err(error) => {
                let fault = Fault::from(error);
                if !fault.is_busy() || !wait_while_busy() {
                    return Err(fault);
                }
            }
        }
    }
}

fn make_tables(db: &Connection) -> Outcome<()> {
    transaction(db, || {
        if check_identity(db)? {
            db.execute_batch(layout::TABLES)?;
            db.pragma_update(None, "application_id", layout::APPLICATION)?;
            db.pragma_update(None, "user_version", layout::VERSION)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolled_back_transaction_leaves_nothing_and_the_next_one_works() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(layout::TABLES).unwrap();
        let add = || db.execute("INSERT INTO peers VALUES (1)", []).map_err(Fault::from);
        let failed: Outcome<()> = transaction(&db, || {
            add()?;
            Err(crate::error::not_held().into())
        });
        assert!(failed.is_err());
        assert_eq!(transaction(&db, add).unwrap(), 1);
    }
}
