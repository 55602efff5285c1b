//! Opens the database: checks what it is before anything is written, switches to the write-ahead log, creates the tables.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Result as SqlResult};
use tooz_core::{Error, ErrorKind};

use super::{busy, schema};
use crate::error::{Fault, Outcome};

/// The bytes of a page. A commit writes whole pages of which it changes a few bytes, so small pages are faster.
const PAGE: i64 = 1024;

/// Statements that a connection keeps prepared; more than there are.
const STATEMENTS: usize = 96;

/// Opens the database file at `path`, which exists. Waits for other processes as [`busy::until`] allows.
pub(crate) fn open(path: &Path) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_handler(Some(|_| busy::wait()))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it SQLite compiles a prepared statement anew whenever a bound value might favour another plan.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // In one transaction, since another process may be creating the tables.
    let is_new = schema::is_empty(&*db.unchecked_transaction()?)?;
    if is_new {
        db.pragma_update(None, "page_size", PAGE)?;
    }
    use_write_ahead_log(&db)?;
    if is_new {
        set_durable(&db, true)?;
        schema::create(&db)?;
    }
    set_durable(&db, false)?;
    // The worker thread copies the log instead, since that waits for the disk.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(db)
}

/// With `true`, a commit returns when it is on disk. With `false`, a power cut may undo it, but a crash of the process cannot.
pub(crate) fn set_durable(db: &Connection, durable: bool) -> SqlResult<()> {
    db.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })
}

/// Closes a connection that this process has inherited by a fork, and leaves the files as they are.
///
/// SQLite's own bookkeeping, which the fork has copied, then no longer counts locks that only the parent holds. The
/// parent loses nothing: record locks belong to a process.
pub(crate) fn close_inherited(db: Connection) -> Outcome<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    drop(db);
    Ok(())
}

/// Switches to the write-ahead log. SQLite does not wait for other processes here, so this function does.
fn use_write_ahead_log(db: &Connection) -> Outcome<()> {
    loop {
        match db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the file system lacks the shared memory that a database of several processes needs; choose a \
                     local directory",
                )
                .into());
            }
            Err(error) => {
                let fault = Fault::from(error);
                if !fault.needs_time() || !busy::wait() {
                    return Err(fault);
                }
            }
        }
    }
}
