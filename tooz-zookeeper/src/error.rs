//! From a fault of the ZooKeeper client to an error of tooz.

use tooz_core::{Error, ErrorKind};

use crate::client::Fault;

/// The error for a fault that no verb expects; those that one expects are matched where they arise.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Over(reason) => session_lost(&reason),
            Fault::Away(reason) => Self::new(ErrorKind::Unavailable, format!("ZooKeeper cannot be reached: {reason}")),
            Fault::Untrusted(reason) => {
                Self::new(ErrorKind::AuthFailed, format!("TLS with ZooKeeper failed: {reason}"))
            }
            Fault::Option(reason) => Self::new(ErrorKind::InvalidOption, reason),
            Fault::Denied => Self::new(
                ErrorKind::AuthFailed,
                "ZooKeeper refuses it: the znode's access list does not allow it with these credentials, \
                 which belong into the URL as user:password@",
            ),
            Fault::Other(reason) => Self::new(ErrorKind::Unexpected, format!("ZooKeeper answered: {reason}")),
            Fault::NoNode | Fault::NodeExists | Fault::NotEmpty | Fault::BadVersion => Self::new(
                ErrorKind::Unexpected,
                format!("ZooKeeper answered {fault:?}, which this driver does not expect"),
            ),
        }
    }
}

pub(crate) fn session_lost(reason: &str) -> Error {
    Error::new(ErrorKind::SessionLost, format!("the ZooKeeper session is over: {reason}"))
}

pub(crate) fn not_held() -> Error {
    Error::new(ErrorKind::NotHeld, "the entry does not stand in the roster any more")
}

pub(crate) fn group_not_created() -> Error {
    Error::new(ErrorKind::GroupNotCreated, "the group does not exist; create it first")
}

pub(crate) fn taken() -> Error {
    Error::new(ErrorKind::MemberAlreadyExists, "another live session has joined with this member id")
}

/// The greatest request that a ZooKeeper server takes unless its `jute.maxbuffer` was raised.
const MAX_REQUEST: usize = 0xf_ffff;

/// Refuses what the server would answer by cutting the connection.
pub(crate) fn check_size(path: &str, data: &[u8]) -> Result<(), Error> {
    // Header, lengths, flags and the access list.
    let overhead = 256;
    let room = MAX_REQUEST.saturating_sub(path.len() + overhead);
    if data.len() <= room {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidOption,
        format!(
            "{} bytes do not fit into a znode, which here takes at most {room} bytes; store them elsewhere",
            data.len()
        ),
    ))
}
