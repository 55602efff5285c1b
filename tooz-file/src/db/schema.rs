//! The tables of the database, and the checks that it is a database of tooz before anything is written to it.

use rusqlite::Connection;
use tooz_core::{Error, ErrorKind};

use super::transaction::immediate;
use crate::error::Outcome;
use crate::layout::{APPLICATION, VERSION};

/// All tables.
///
/// - A peer is one process that uses the directory. It owns sessions, and its death ends them.
/// - The row of `entries` with roster 0 is the sequence; see `sequence.rs`.
/// - `entries.admitted` is kept up to date by each process that removes an entry. Entries have no index by session,
///   because each further B-tree is one more page in every commit; a session's entries are searched only when it ends.
/// - A peer that watches roster 0 is notified when a name comes into use, in any namespace.
/// - The row of a roster without entries is removed within a second, unless the roster is declared or watched.
pub(crate) const TABLES: &str = "
CREATE TABLE peers (id INTEGER PRIMARY KEY);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, peer INTEGER NOT NULL, namespace TEXT NOT NULL, member BLOB NOT NULL);
CREATE INDEX sessions_of_peer ON sessions (peer);

CREATE TABLE rosters (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL,
    name BLOB NOT NULL,
    declared INTEGER NOT NULL DEFAULT 0,
    greatest_limit INTEGER NOT NULL DEFAULT 1,
    UNIQUE (namespace, kind, name)
);
CREATE TABLE entries (
    roster INTEGER NOT NULL,
    mode TEXT NOT NULL,
    seq INTEGER NOT NULL,
    session INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    key BLOB,
    permits INTEGER NOT NULL,
    admitted INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (roster, mode, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX entry_of_key ON entries (roster, key) WHERE key IS NOT NULL;
CREATE INDEX entries_waiting ON entries (roster, seq) WHERE admitted = 0;
INSERT INTO entries VALUES (0, 'c', 0, 0, x'', NULL, 0, 1, 0);
CREATE TABLE evictions (peer INTEGER NOT NULL, session INTEGER NOT NULL, nonce BLOB NOT NULL);
CREATE INDEX evictions_of_peer ON evictions (peer);

CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name BLOB NOT NULL,
    newest INTEGER NOT NULL DEFAULT 0,
    trimmed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, name)
);
CREATE TABLE messages (
    topic INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (topic, offset)
) WITHOUT ROWID;

CREATE TABLE watchers (roster INTEGER NOT NULL, peer INTEGER NOT NULL, PRIMARY KEY (roster, peer)) WITHOUT ROWID;
CREATE INDEX watchers_of_peer ON watchers (peer);
CREATE TABLE readers (topic INTEGER NOT NULL, peer INTEGER NOT NULL, PRIMARY KEY (topic, peer)) WITHOUT ROWID;
CREATE INDEX readers_of_peer ON readers (peer);
";

/// Whether the database is empty. Fails if it belongs to another program or to another version; writes nothing.
pub(crate) fn is_empty(db: &Connection) -> Outcome<bool> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(true),
        (APPLICATION, VERSION) => Ok(false),
        (APPLICATION, other) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the database is of version {other}, but this program knows version {VERSION} only; use the same \
                 version of tooz-file in all programs that share a directory"
            ),
        )
        .into()),
        _ => Err(Error::new(
            ErrorKind::Corrupt,
            "tooz.db belongs to another program; it was left as it is, choose another directory",
        )
        .into()),
    }
}

/// Creates the tables, unless another process has done so meanwhile.
pub(crate) fn create(db: &Connection) -> Outcome<()> {
    immediate(db, || {
        if is_empty(db)? {
            db.execute_batch(TABLES)?;
            db.pragma_update(None, "application_id", APPLICATION)?;
            db.pragma_update(None, "user_version", VERSION)?;
        }
        Ok(())
    })
}
