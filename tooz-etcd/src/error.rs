//! Maps the errors of etcd, gRPC and the client crate to those of tooz.

use std::error::Error as StdError;
use std::fmt::Write as _;

use etcd_client::{Error as EtcdError, WatchResponse};
use tooz_core::driver::support::session_lost;
use tooz_core::{Error, ErrorKind};

/// gRPC's status codes that the driver distinguishes.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// Maps an error of the client; `address` is the endpoint that was asked.
pub(crate) fn from_etcd(error: &EtcdError, address: &str) -> Error {
    let (kind, message) = match error {
        EtcdError::GRpcStatus(status) => of_status(status.code() as i32, status.message()),
        EtcdError::LeaseKeepAliveError(message) if message == "lease not found" => return session_lost(),
        EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_) | EtcdError::InvalidMetadataValue(_) => {
            (ErrorKind::InvalidOption, "the etcd client cannot use an option")
        }
        _ => (ErrorKind::Unavailable, UNREACHABLE),
    };
    if kind == ErrorKind::SessionLost {
        return session_lost();
    }
    let causes = causes(error);
    let message = if kind == ErrorKind::Unavailable { about_connection(&causes).unwrap_or(message) } else { message };
    Error::new(kind, message).with_context("address", address).with_source(causes)
}

/// What to do about a connection that cannot be made, where the cause tells.
fn about_connection(causes: &str) -> Option<&'static str> {
    const CAUSES: [(&str, &str); 6] = [
        ("invalid peer certificate", "etcd's certificate is not trusted: option ca_cert names the CA to trust"),
        ("received fatal alert", "etcd refuses the client's certificate: options cert_cert and cert_key name it"),
        ("tls handshake eof", "the server does not answer TLS: without it, the scheme is etcd or etcd3+http"),
        ("connection closed", CLOSED),
        ("connection reset", CLOSED),
        ("closed because of a broken pipe", CLOSED),
    ];
    // The same cause begins with a capital where the operating system names it.
    let causes = causes.to_ascii_lowercase();
    CAUSES.iter().find(|(cause, _)| causes.contains(cause)).map(|(_, message)| *message)
}

const CLOSED: &str = "the server closed the connection: if not stopped just now, it is no etcd, or wants TLS, or wants a \
    client certificate (options cert_cert and cert_key)";
const UNREACHABLE: &str = "failed to reach etcd";

fn of_status(status: i32, message: &str) -> (ErrorKind, &'static str) {
    use ErrorKind as K;
    match status {
        code::NOT_FOUND if message.contains("lease not found") => (K::SessionLost, ""),
        code::RESOURCE_EXHAUSTED if message.contains("database space exceeded") => (
            K::Unavailable,
            "etcd refuses to write, since its database is full: compact and defragment it, then disarm the NOSPACE alarm",
        ),
        code::OUT_OF_RANGE if message.contains("lease TTL") => {
            (K::InvalidOption, "the TTL is above etcd's greatest one")
        }
        code::RESOURCE_EXHAUSTED if message.contains("larger than max") => (K::InvalidOption, TOO_LARGE),
        code::INVALID_ARGUMENT if message.contains("request is too large") => (K::InvalidOption, TOO_LARGE),
        code::INVALID_ARGUMENT if message.contains("revision of auth store is old") => {
            (K::Unavailable, "etcd's users or roles were changed just now")
        }
        code::INVALID_ARGUMENT | code::FAILED_PRECONDITION if is_about_users(message) => (K::AuthFailed, AUTH_FAILED),
        code::UNAUTHENTICATED => (K::AuthFailed, AUTH_FAILED),
        code::PERMISSION_DENIED => {
            (K::AuthFailed, "etcd does not let this user read and write under the prefix of the namespace")
        }
        code::UNIMPLEMENTED => {
            (K::Unavailable, "the server does not speak etcd's API, version 3: is something else at this address?")
        }
        code::INVALID_ARGUMENT | code::FAILED_PRECONDITION => (K::Unexpected, "etcd refused the request"),
        _ if message.contains("InvalidContentType") || message.contains("invalid compression flag") => {
            (K::Unavailable, "the server does not speak gRPC: is something else than etcd at this address?")
        }
        _ => (K::Unavailable, UNREACHABLE),
    }
}

const TOO_LARGE: &str =
    "the value is larger than etcd takes in one request (its --max-request-bytes, 1572864 if unset)";
const AUTH_FAILED: &str = "etcd does not accept the user name or the password";

fn is_about_users(message: &str) -> bool {
    ["authentication", "user name", "password", "auth token"].iter().any(|word| message.contains(word))
}

/// The error and all that caused it, as one line: the client's own `Display` leaves out what matters.
fn causes(error: &EtcdError) -> String {
    let (mut text, mut source) = match error {
        EtcdError::GRpcStatus(status) => (status.message().to_owned(), StdError::source(status)),
        EtcdError::TransportError(error) => (error.to_string(), error.source()),
        EtcdError::IoError(error) => (error.to_string(), error.source()),
        other => (other.to_string(), None),
    };
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The stream of all watches has ended.
pub(crate) fn watch_broke(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, "the watch stream broke").with_source(cause.into())
}

/// As [`watch_broke`], by an error of the client.
pub(crate) fn from_watch(error: EtcdError) -> Error {
    watch_broke(causes(&error))
}

/// Why etcd has ended a watch.
pub(crate) fn canceled(response: &WatchResponse) -> Error {
    let reason = response.cancel_reason().to_owned();
    match reason.contains("permission denied") {
        true => Error::new(ErrorKind::AuthFailed, "etcd does not let this user watch keys of the namespace"),
        false => Error::new(ErrorKind::Unavailable, "etcd canceled a watch"),
    }
    .with_source(reason)
}

pub(crate) const NOT_WRITTEN_BY_DRIVER: &str =
    "a key under the prefix of the namespace was not written by this driver; delete it, or use another namespace";

/// A value that every request needs, but the driver did not write.
pub(crate) fn corrupt(key: &[u8]) -> Error {
    Error::new(ErrorKind::Corrupt, NOT_WRITTEN_BY_DRIVER).with_context("key", key.escape_ascii())
}

/// An answer that does not fit the request.
pub(crate) fn unexpected_answer() -> Error {
    Error::new(ErrorKind::Unexpected, "etcd's answer does not fit the request")
}

/// Other clients changed the same keys between all attempts.
pub(crate) fn other_clients_came_between() -> Error {
    Error::new(ErrorKind::Unavailable, "other clients changed the same keys again and again")
}

/// The session belongs to a history of etcd that is gone.
pub(crate) fn history_lost() -> Error {
    Error::new(ErrorKind::SessionLost, "etcd was restored from a snapshot or emptied since the session began")
}
