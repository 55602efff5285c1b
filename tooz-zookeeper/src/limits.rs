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
