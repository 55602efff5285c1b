//! Native errors of SQLite and the file system become errors of tooz here, and nowhere else.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use tooz_core::{Error, ErrorKind};

/// What can go wrong inside a verb: an error of tooz, or a native error that is still to be mapped.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Io(io::Error),
    Ready(Error),
    /// Dead processes own entries that stop the verb. It succeeds once these peers are removed.
    Dead(Vec<i64>),
    /// The thread may not wait as long as the verb takes.
    NeedsTime,
}

/// The result of everything that runs on the database.
pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// Whether the verb succeeds if it is repeated with more time.
    pub(crate) fn needs_time(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
            }
            Self::NeedsTime => true,
            Self::Io(_) | Self::Ready(_) | Self::Dead(_) => false,
        }
    }

    /// The error for the user, which names `directory`.
    pub(crate) fn into_error(self, directory: &Path) -> Error {
        let error = match self {
            Self::Ready(error) => return error,
            Self::Sqlite(error) => from_sqlite(error),
            Self::Io(error) => from_io(error),
            Self::Dead(_) | Self::NeedsTime => timeout_error(),
        };
        error.with_context("directory", directory.display())
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ready(error)
    }
}

fn from_sqlite(error: rusqlite::Error) -> Error {
    use ErrorCode as Code;
    use ErrorKind as Kind;
    let (kind, message) = match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            (Kind::Unavailable, "another process kept the database busy for longer than the timeout")
        }
        Some(Code::DiskFull) => (Kind::Unavailable, "the disk is full; nothing was changed"),
        Some(Code::SystemIoFailure | Code::CannotOpen) => (Kind::Unavailable, "failed to read or write the database"),
        Some(Code::ReadOnly | Code::PermissionDenied) => {
            (Kind::AuthFailed, "this user may not write to the database; check the owner and mode of its files")
        }
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
            (Kind::Corrupt, "the database is damaged and was left as it is; move it away to start again")
        }
        _ => (Kind::Unexpected, "the database returned something unexpected"),
    };
    Error::new(kind, message).with_source(error)
}

fn from_io(error: io::Error) -> Error {
    let (kind, message) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::AuthFailed, "this user may not create or write files in the directory")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            (ErrorKind::InvalidUrl, "the path leads to something that is not a directory")
        }
        _ => (ErrorKind::Unavailable, "failed to use the directory"),
    };
    Error::new(kind, message).with_source(error)
}

pub(crate) fn timeout_error() -> Error {
    Error::new(ErrorKind::Unavailable, "the database did not answer within the timeout")
}

/// The error for a session that a fork has copied into another process.
pub(crate) fn other_process(opened_by: u32) -> Error {
    let message = format!(
        "the session belongs to process {opened_by}, but this is process {}; connect again after a fork",
        std::process::id()
    );
    Error::new(ErrorKind::SessionLost, message)
}

/// The error for a directory that the parent was using at the moment of the fork.
pub(crate) fn forked_in_use() -> Error {
    let message = "another thread was using the directory when this process was forked, so the child cannot use it; \
                   close the coordinator before the fork, or fork before the first one connects";
    Error::new(ErrorKind::Unsupported, message)
}
