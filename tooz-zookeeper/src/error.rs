//! What a request can fail with, and the error of tooz that a caller gets for it.
//!
//! Each client backend translates the codes of its crate into a [`Fault`]. Verbs handle the faults that they expect; every
//! other fault becomes an error at the end of the verb.

use std::error::Error as StdError;

use tooz_core::{Error, ErrorKind};

/// The outcome of a request to ZooKeeper, and of a verb.
pub(crate) type Answer<T> = Result<T, Fault>;

/// Why a request failed.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    NoNode,
    NodeExists,
    NotEmpty,
    BadVersion,
    /// The access list or the credentials do not allow the request.
    Denied,
    /// Everything that no verb handles by itself.
    Failed(Error),
}

impl Fault {
    /// Whether the server may be out of reach, so that the request may or may not have been carried out.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_retryable())
    }

    /// Whether the session has ended.
    pub(crate) fn is_session_lost(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_session_lost())
    }

    /// The error that a caller gets. A method, because an `Error` that is made `From` a private type would make `?` ambiguous
    /// in every program that links this driver.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Denied => Error::new(
                ErrorKind::AuthFailed,
                "the znode's access list does not allow the request with these credentials; \
                 credentials belong into the URL as user:password@",
            ),
            Self::NoNode | Self::NodeExists | Self::NotEmpty | Self::BadVersion => Error::new(
                ErrorKind::Unexpected,
                format!("ZooKeeper answered {self:?}, which the driver does not expect"),
            ),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The session has ended.
pub(crate) fn session_lost(reason: &str) -> Error {
    Error::new(ErrorKind::SessionLost, format!("the ZooKeeper session has ended: {reason}"))
}

/// No server can be reached, or none answers.
pub(crate) fn unreachable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unavailable, "failed to reach ZooKeeper").with_source(cause)
}

/// An ephemeral znode, which cannot have children, is where the driver keeps znodes.
pub(crate) fn foreign_znode() -> Error {
    let message = "an ephemeral znode of another program is in the way; remove it, or use another chroot or namespace";
    Error::new(ErrorKind::Corrupt, message)
}

/// The server or the client crate reported something that the driver does not expect.
pub(crate) fn unexpected(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unexpected, "ZooKeeper answered with an unexpected error").with_source(cause)
}
