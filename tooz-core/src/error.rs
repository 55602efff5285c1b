//! The error type: a kind for programs, the operation and context for people, and the native error as source.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the categories that a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No linked driver serves the scheme of the URL.
    NoDriverFound,
    /// The URL is malformed, or lacks a part that the driver needs.
    InvalidUrl,
    /// An option is unknown, malformed or out of range.
    InvalidOption,
    /// A name is empty, or longer than 512 bytes.
    InvalidName,
    /// The backend does not support the operation.
    Unsupported,
    /// The backend did not answer in time, or refuses to serve at the moment. The same call may succeed later.
    Unavailable,
    /// The time limit that the caller gave has passed.
    Timeout,
    /// The backend rejects the credentials, or they do not permit the operation.
    AuthFailed,
    /// The session is over, and everything that it held is lost. The coordinator opens a new one by itself.
    SessionLost,
    /// The coordinator has no session and opens none: it was closed, the runtime in which it connected has ended, or this
    /// process is a fork of the one that connected. Everything that it held is lost. Connect again.
    Closed,
    /// This client no longer holds the lock, permit, leadership or membership: another client removed its entry.
    NotHeld,
    /// The group does not exist.
    GroupNotCreated,
    /// The group exists already.
    GroupAlreadyExists,
    /// The group still has members.
    GroupNotEmpty,
    /// Another live session has joined the group with this member id.
    MemberAlreadyExists,
    /// The group has no such member, or this client is no longer a member.
    MemberNotJoined,
    /// The driver lacks a [`Characteristic`](crate::Characteristic) that was required.
    DriverChosenPoorly,
    /// Retention has removed messages before the subscription read them.
    Gap,
    /// Stored data is malformed.
    Corrupt,
    /// The backend or the driver behaved in a way that this version does not expect.
    Unexpected,
}

/// An error: its [`kind`](Error::kind), the operation that failed, the object that it concerns, and the cause.
///
/// `Display` and `Debug` show all of it on one line, including every [`source`](StdError::source), and never a password.
/// Clones are cheap and share the native error.
///
/// ```
/// use tooz_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Unavailable, "failed to reach the server")
///     .with_operation("acquire")
///     .with_context("lock", "nightly");
/// assert_eq!(error.to_string(), "acquire: failed to reach the server (lock nightly)");
/// assert!(error.is_retryable());
/// ```
#[derive(Clone)]
pub struct Error(Arc<ErrorParts>);

#[derive(Clone)]
struct ErrorParts {
    kind: ErrorKind,
    message: Cow<'static, str>,
    operation: Option<&'static str>,
    context: Vec<(&'static str, String)>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` is a lowercase fragment such as `"failed to reach the server"`.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(ErrorParts { kind, message: message.into(), operation: None, context: Vec::new(), source: None }))
    }

    /// Sets the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.parts().source = Some(Arc::from(source.into()));
        self
    }

    /// Sets the operation that failed, unless it is set already.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.parts().operation.get_or_insert(operation);
        self
    }

    /// Adds a fact to the context, such as `("lock", "nightly")`.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.parts().context.push((key, value.to_string()));
        self
    }

    fn parts(&mut self) -> &mut ErrorParts {
        Arc::make_mut(&mut self.0)
    }

    /// What went wrong, in the categories that a program can act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, such as `"acquire"`.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The facts added by [`with_context`](Error::with_context), innermost first.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Whether the same call may succeed if you repeat it unchanged: the backend did not answer, or not in time.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable)
    }

    /// Whether a program that acquires something again and again should try once more: the error may pass.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_retryable() || self.is_session_lost() || self.is_not_held()
    }

    /// Whether the session is over, and everything that it held is lost. The coordinator opens a new session by itself.
    pub fn is_session_lost(&self) -> bool {
        self.kind() == ErrorKind::SessionLost
    }

    /// Whether the coordinator was closed, or its runtime or process has ended, so that no call can succeed any more.
    pub fn is_closed(&self) -> bool {
        self.kind() == ErrorKind::Closed
    }

    /// Whether this client no longer held the lock, permit, leadership or membership.
    pub fn is_not_held(&self) -> bool {
        self.kind() == ErrorKind::NotHeld
    }

    /// Whether the time limit that the caller gave has passed.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if let Some(operation) = inner.operation {
            write!(f, "{operation}: ")?;
        }
        f.write_str(&inner.message)?;
        for (index, (key, value)) in inner.context.iter().enumerate() {
            write!(f, "{}{key} {value}", if index == 0 { " (" } else { ", " })?;
        }
        if !inner.context.is_empty() {
            f.write_str(")")?;
        }
        let mut source = StdError::source(self);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_operation_message_context_and_cause() {
        let error = Error::new(ErrorKind::Unavailable, "failed to reach the server")
            .with_operation("acquire")
            .with_context("lock", "nightly")
            .with_context("address", "127.0.0.1:1")
            .with_source(std::io::Error::other("connection refused"));
        assert_eq!(
            error.to_string(),
            "acquire: failed to reach the server (lock nightly, address 127.0.0.1:1): connection refused"
        );
        assert_eq!(error.clone().to_string(), error.to_string());
        assert!(error.is_retryable());
    }
}
