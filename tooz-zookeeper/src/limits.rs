//! What a ZooKeeper server can take, checked before a request is sent.

use tooz_core::{Error, ErrorKind, Result};

/// The greatest request that a ZooKeeper server takes unless its `jute.maxbuffer` was raised.
const MAX_REQUEST: usize = 0xf_ffff;

/// The header of a request, its lengths and flags, and the access list.
const OVERHEAD: usize = 256;

/// Refuses a value that is too large. The server would answer it by closing the connection.
pub(crate) fn check_size(path: &str, data: &[u8]) -> Result<()> {
    let room = MAX_REQUEST.saturating_sub(path.len() + OVERHEAD);
    if data.len() <= room {
        return Ok(());
    }
    let message = format!(
        "{} bytes do not fit into a znode, which here takes at most {room} bytes; store them elsewhere",
        data.len()
    );
    Err(Error::new(ErrorKind::InvalidOption, message))
}

/// How many bytes the paths of a session's ephemeral znodes may take.
///
/// When a session ends, the server logs one transaction with all of these paths. A server cannot read a transaction that is
/// larger than its `jute.maxbuffer`, so it would never start again (ZOOKEEPER-4306). The margin is for the heartbeat.
const MAX_EPHEMERAL_PATHS: usize = MAX_REQUEST - 4096;

/// What the path of an entry takes in that transaction: its length, the path and ZooKeeper's number.
pub(crate) fn ephemeral_bytes(new_path: &str) -> usize {
    4 + new_path.len() + 11
}

/// Refuses an entry when the paths of the session's entries take too many bytes with it.
pub(crate) fn check_ephemeral_paths(bytes: usize) -> Result<()> {
    if bytes <= MAX_EPHEMERAL_PATHS {
        return Ok(());
    }
    let message = format!(
        "the znode paths of this session's entries would take {bytes} bytes, and a ZooKeeper server can log at most \
         {MAX_EPHEMERAL_PATHS} when the session ends (ZOOKEEPER-4306); use shorter names, or more than one coordinator"
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}
