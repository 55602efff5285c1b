//! The one error type: a kind to act on, the operation and context for the reader, and the native error as source.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a program can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No linked driver serves the scheme of the URL.
    NoDriverFound,
    /// The URL cannot be parsed, or lacks a part that the driver needs.
    InvalidUrl,
    /// An option is unknown, malformed or out of range.
    InvalidOption,
    /// A name is empty, or longer than 512 bytes.
    InvalidName,
    /// The backend cannot do this at all.
    Unsupported,
    /// The backend cannot be reached, or refuses to serve at the moment.
    Unavailable,
    /// The time that the caller allowed has passed.
    Timeout,
    /// The backend does not accept the credentials, or they do not allow the operation.
    AuthFailed,
    /// The session is over: everything that it held is gone.
    SessionLost,
    /// The entry is not ours any more: it was released, evicted or lost.
    NotHeld,
    /// The group does not exist.
    GroupNotCreated,
    /// The group exists already.
    GroupAlreadyExists,
    /// The group still has members.
    GroupNotEmpty,
    /// Another live session has joined the group under this member id.
    MemberAlreadyExists,
    /// The member is not in the group.
    MemberNotJoined,
    /// The driver lacks a characteristic that was required.
    DriverChosenPoorly,
    /// Messages between the reader's offset and the oldest one kept are gone.
    Gap,
    /// Stored data cannot be understood.
    Corrupt,
    /// The backend answered something that this version does not expect.
    Unexpected,
}

/// An error: its [`kind`](Error::kind), what was attempted, on what, and why it failed.
///
/// The text names the thing, the cause and the way out, and never contains a password. Clones share the native error,
/// which [`source`](StdError::source) returns; `Display` already includes it.
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

    /// Attaches the native error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.parts().source = Some(Arc::from(source.into()));
        self
    }

    /// Names the operation that failed; the innermost name stays.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.parts().operation.get_or_insert(operation);
        self
    }

    /// Adds one fact to the context, such as `("lock", "nightly")`.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.parts().context.push((key, value.to_string()));
        self
    }

    fn parts(&mut self) -> &mut ErrorParts {
        Arc::make_mut(&mut self.0)
    }

    /// What went wrong, as far as a program can act on it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, if it was named.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The facts added by [`with_context`](Error::with_context), innermost first.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Whether the same call may succeed when it is repeated unchanged: the backend was out of reach or too slow.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable)
    }

    /// Whether the session is over and everything that it held with it.
    pub fn is_session_lost(&self) -> bool {
        self.kind() == ErrorKind::SessionLost
    }

    /// Whether the lock, leadership or membership was not ours any more.
    pub fn is_not_held(&self) -> bool {
        self.kind() == ErrorKind::NotHeld
    }

    /// Whether the time that the caller allowed has passed.
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
