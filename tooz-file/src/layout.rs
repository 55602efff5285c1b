//! What identifies things in the directory: the names of files, the numbers in the header of the database, the kind of
//! topics in its tables, and the byte that a process locks.

/// The database. SQLite keeps `tooz.db-wal` and `tooz.db-shm` beside it.
pub(crate) const DATABASE: &str = "tooz.db";

/// The files of SQLite, which exist while a process uses the directory.
pub(crate) const DATABASE_FILES: [&str; 3] = [DATABASE, "tooz.db-wal", "tooz.db-shm"];

/// The application id in the header of the database: "tooz".
pub(crate) const APPLICATION: i32 = 0x746f_6f7a;

/// The version of the tables, in `user_version`. Raise it with every change of the tables.
pub(crate) const VERSION: i32 = 5;

/// The kind of the objects that are topics. Rosters have the names of `tooz_core::driver::Kind`.
pub(crate) const TOPIC: &str = "topic";

/// The greatest id of a peer.
pub(crate) const MAX_ID: i64 = (1 << 62) - 1;

/// The first byte of the database file that peers lock, far beyond its end and beyond the bytes that SQLite locks.
const FIRST_LOCKED_BYTE: i64 = 1 << 62;

/// The byte of the database file that a peer locks as long as it lives.
pub(crate) fn presence_byte(peer: i64) -> i64 {
    FIRST_LOCKED_BYTE + peer.clamp(0, MAX_ID)
}

/// The datagram socket on which a peer receives notifications.
pub(crate) fn socket(peer: i64) -> String {
    format!("p-{peer:016x}.sock")
}

/// The peer whose socket has this file name.
pub(crate) fn peer_of_socket(name: &str) -> Option<i64> {
    let digits = name.strip_prefix("p-")?.strip_suffix(".sock")?;
    i64::from_str_radix(digits, 16).ok().filter(|peer| socket(*peer) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_socket_tells_its_peer() {
        assert_eq!(peer_of_socket(&socket(77)), Some(77));
        for name in ["tooz.db", "p-.sock", "p-1.sock", "p-000000000000004D.sock", "p-000000000000004d.sock2"] {
            assert_eq!(peer_of_socket(name), None, "{name}");
        }
    }

    #[test]
    fn the_locked_bytes_do_not_overflow() {
        assert_eq!(presence_byte(MAX_ID), i64::MAX);
        assert_eq!(presence_byte(-1), presence_byte(0));
    }
}
