//! Exit codes, and the failure that ends a command.

use std::fmt;
use std::process::ExitCode;

use tooz::{Error, ErrorKind};

use crate::output::say;

/// The answer is no: there is no such object, or the command changed nothing.
pub(crate) const NO: u8 = 1;
/// The arguments are wrong, as clap reports them too.
pub(crate) const USAGE: u8 = 2;
/// The backend cannot be reached, or refuses (`EX_UNAVAILABLE`).
pub(crate) const UNAVAILABLE: u8 = 69;
/// The lock was not granted in time (`EX_TEMPFAIL`); `-E` chooses another code.
pub(crate) const CONFLICT: u8 = 75;
/// The lock was lost while the command ran, and the command was ended.
pub(crate) const LOST: u8 = 76;
/// tooz itself failed.
pub(crate) const INTERNAL: u8 = 125;
/// The command exists but cannot be executed.
pub(crate) const CANNOT_EXECUTE: u8 = 126;
/// There is no such command.
pub(crate) const NOT_FOUND: u8 = 127;
/// A signal ended the command: 128 and its number.
pub(crate) const SIGNALED: u8 = 128;

/// Why a command of tooz failed: a text for people, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Prints the text on standard error, unless it is empty.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            say("failed", self);
        }
        self.code.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::NoDriverFound
            | ErrorKind::InvalidUrl
            | ErrorKind::InvalidOption
            | ErrorKind::InvalidName
            | ErrorKind::DriverChosenPoorly => USAGE,
            ErrorKind::GroupNotCreated
            | ErrorKind::GroupAlreadyExists
            | ErrorKind::GroupNotEmpty
            | ErrorKind::MemberAlreadyExists
            | ErrorKind::MemberNotJoined => NO,
            ErrorKind::Timeout => CONFLICT,
            ErrorKind::NotHeld | ErrorKind::SessionLost => LOST,
            _ => UNAVAILABLE,
        };
        Self::new(code, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(INTERNAL, error.to_string())
    }
}
