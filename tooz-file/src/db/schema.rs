//! The tables of the database, and the checks that it is a database of tooz before anything is written to it.

use rusqlite::Connection;
use tooz_core::{Error, ErrorKind};

use super::transaction::immediate;
use crate::error::Outcome;
use crate::layout::{APPLICATION, VERSION};

/// All tables.
///
/// - A peer is one process that uses the directory. It owns entries, and its death removes them. Entries have no index by
///   peer, because each further B-tree is one more page in every commit; a peer's entries are searched only when it dies.
/// - An object has a name. It is a roster (`declared`, `greatest_limit`) or a topic (`newest`, `trimmed`). The row of an
///   object without content is removed within a second, unless the object is declared or watched.
/// - The primary key of `entries` contains the mode, so that the entries that block another one are neighbours in it.
///   `admitted` is kept up to date by each process that removes an entry.
/// - `changes` has the latest changes of each roster that is watched.
/// - A peer that watches the object 0 is notified when a name comes into use, in any namespace.
pub(crate) const TABLES: &str = "
CREATE TABLE peers (id INTEGER PRIMARY KEY);
CREATE TABLE sequence (last INTEGER NOT NULL);
INSERT INTO sequence VALUES (0);

CREATE TABLE objects (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL,
    name BLOB NOT NULL,
    declared INTEGER NOT NULL DEFAULT 0,
    greatest_limit INTEGER NOT NULL DEFAULT 1,
    newest INTEGER NOT NULL DEFAULT 0,
    trimmed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, kind, name)
);
CREATE TABLE watchers (object INTEGER NOT NULL, peer INTEGER NOT NULL, PRIMARY KEY (object, peer)) WITHOUT ROWID;
CREATE INDEX watchers_of_peer ON watchers (peer);

CREATE TABLE entries (
    roster INTEGER NOT NULL,
    mode TEXT NOT NULL,
    seq INTEGER NOT NULL,
    peer INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    key BLOB,
    permits INTEGER NOT NULL,
    admitted INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (roster, mode, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX entry_of_key ON entries (roster, key) WHERE key IS NOT NULL;
CREATE INDEX entries_waiting ON entries (roster, seq) WHERE admitted = 0;
CREATE VIEW object_states AS SELECT *,
    EXISTS (SELECT 1 FROM watchers WHERE object = objects.id) AS watched,
    EXISTS (SELECT 1 FROM entries WHERE roster = objects.id) AS occupied,
    EXISTS (SELECT 1 FROM entries WHERE roster = objects.id AND admitted = 0) AS contended
    FROM objects;

CREATE TABLE evictions (peer INTEGER NOT NULL, nonce BLOB NOT NULL);
CREATE TABLE changes (
    roster INTEGER NOT NULL,
    version INTEGER NOT NULL,
    change TEXT NOT NULL,
    seq INTEGER,
    nonce BLOB,
    key BLOB,
    mode TEXT,
    permits INTEGER,
    value BLOB,
    PRIMARY KEY (roster, version)
) WITHOUT ROWID;

CREATE TABLE messages (
    topic INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (topic, offset)
) WITHOUT ROWID;
";

/// Whether the database is empty. Fails if it belongs to another program or to another version; writes nothing.
pub(crate) fn is_empty(db: &Connection) -> Outcome<bool> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (kind, refusal) = match (application, version) {
        (0, 0) if tables == 0 => return Ok(true),
        (APPLICATION, VERSION) => return Ok(false),
        (APPLICATION, other) => (
            ErrorKind::Unsupported,
            format!(
                "the database is of version {other}, but this program supports version {VERSION} only; use the same \
                 version of tooz-file in all programs that share a directory"
            ),
        ),
        _ => (
            ErrorKind::Corrupt,
            "tooz.db belongs to another program and was left as it is; choose another directory".to_owned(),
        ),
    };
    Err(Error::new(kind, refusal).into())
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
