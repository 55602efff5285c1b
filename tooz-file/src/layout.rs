//! What lies in the directory: the names of its files and the tables of its database.

/// The database. SQLite keeps `tooz.db-wal` and `tooz.db-shm` beside it.
pub(crate) const DATABASE: &str = "tooz.db";

/// The application id in the header of the database: "tooz".
pub(crate) const APPLICATION: i32 = 0x746f_6f7a;

/// The version of the tables, in `user_version`. Raise it with every change of [`TABLES`].
pub(crate) const VERSION: i32 = 3;

/// The datagram socket on which a peer is told what changed. Nobody listens there: the peer is dead.
pub(crate) fn bell(peer: i64) -> String {
    format!("p-{peer:016x}.bell")
}

/// The stream socket whose connections end with the peer.
pub(crate) fn pulse(peer: i64) -> String {
    format!("p-{peer:016x}.pulse")
}

/// Whether a file is a socket of some peer.
pub(crate) fn is_socket(name: &str) -> bool {
    name.starts_with("p-") && (name.ends_with(".bell") || name.ends_with(".pulse"))
}

/// A peer is one process that uses the directory; it has the sessions and dies with them.
///
/// The row of `entries` that belongs to roster 0 is the clock: its `permits` stamps entries and never goes back, and all
/// numbers up to its `value` are safe on disk. It stands there because every entry that is added moves it: while few
/// entries stand, both are on one page.
///
/// `entries.admitted` is kept up to date by whoever removes the entries before. The row of a roster without entries that is
/// not declared goes within a second when nobody watches it. Few trees make fast commits: each that a transaction touches is
/// a page in the log. So the entries of a session have no index: they are looked for only when it ends.
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
