//! Maps the errors of etcd, gRPC and the client crate to those of tooz.

use std::error::Error as StdError;
use std::fmt::Write as _;

use etcd_client::{Error as EtcdError, WatchResponse};
use tooz_core::ErrorKind::{AuthFailed, Corrupt, InvalidOption, SessionLost, Unavailable, Unexpected};
use tooz_core::driver::support::session_lost;
use tooz_core::{Error, ErrorKind};

/// Maps an error of the client; `address` is the endpoint that was asked.
pub(crate) fn from_etcd(error: &EtcdError, address: &str) -> Error {
    let causes = causes(error);
    // The same cause begins with a capital where the operating system names it.
    let text = causes.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(cause, ..)| text.contains(cause)).map(|(_, kind, message)| (*kind, *message));
    let (kind, message) = known.unwrap_or_else(|| match error {
        EtcdError::GRpcStatus(status) => of_code(status.code() as i32),
        EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_) | EtcdError::InvalidMetadataValue(_) => {
            (InvalidOption, "the etcd client cannot use an option")
        }
        _ => (Unavailable, UNREACHABLE),
    });
    match kind {
        SessionLost => session_lost(),
        kind => Error::new(kind, message).with_context("address", address).with_source(causes),
    }
}

/// Parts of what etcd, gRPC, TLS and the operating system say, and what to do about it. The first that occurs counts.
const KNOWN: [(&str, ErrorKind, &str); 19] = [
    ("lease not found", SessionLost, ""),
    ("database space exceeded", Unavailable, FULL),
    ("lease ttl", InvalidOption, "the TTL is above etcd's greatest one"),
    ("message larger than max", InvalidOption, TOO_LARGE),
    ("request is too large", InvalidOption, TOO_LARGE),
    ("revision of auth store is old", Unavailable, "etcd's users or roles were changed just now"),
    ("authentication", AuthFailed, AUTH_FAILED),
    ("user name", AuthFailed, AUTH_FAILED),
    ("password", AuthFailed, AUTH_FAILED),
    ("auth token", AuthFailed, AUTH_FAILED),
    ("etcdserver: permission denied", AuthFailed, DENIED),
    ("invalidcontenttype", Unavailable, NO_GRPC),
    ("invalid compression flag", Unavailable, NO_GRPC),
    (
        "invalid peer certificate",
        Unavailable,
        "etcd's certificate is not trusted: option ca_cert names the CA to trust",
    ),
    ("received fatal alert", Unavailable, "etcd refuses the client's certificate: cert_cert and cert_key name it"),
    ("tls handshake eof", Unavailable, "the server does not answer TLS: without it, the scheme is etcd or etcd3+http"),
    ("connection closed", Unavailable, CLOSED),
    ("connection reset", Unavailable, CLOSED),
    ("closed because of a broken pipe", Unavailable, CLOSED),
];

const FULL: &str =
    "etcd refuses to write, since its database is full: compact and defragment it, then disarm the NOSPACE alarm";
const TOO_LARGE: &str =
    "the value is larger than etcd takes in one request (its --max-request-bytes, 1572864 if unset)";
const AUTH_FAILED: &str = "etcd does not accept the user name or the password";
const DENIED: &str = "etcd does not let this user read and write under the prefix of the namespace";
const NO_GRPC: &str = "the server does not speak gRPC: is something else than etcd at this address?";
const CLOSED: &str = "the server closed the connection: if not stopped just now, it is no etcd, or wants TLS, or wants a \
    client certificate (options cert_cert and cert_key)";
const UNREACHABLE: &str = "failed to reach etcd";

/// What a status code of gRPC means if its text is not known.
fn of_code(code: i32) -> (ErrorKind, &'static str) {
    const INVALID_ARGUMENT: i32 = 3;
    const FAILED_PRECONDITION: i32 = 9;
    const UNIMPLEMENTED: i32 = 12;
    match code {
        UNIMPLEMENTED => {
            (Unavailable, "the server does not speak etcd's API, version 3: is something else at this address?")
        }
        INVALID_ARGUMENT | FAILED_PRECONDITION => (Unexpected, "etcd refused the request"),
        _ => (Unavailable, UNREACHABLE),
    }
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
    Error::new(Unavailable, "the watch stream broke").with_source(cause.into())
}

/// As [`watch_broke`], by an error of the client.
pub(crate) fn from_watch(error: EtcdError) -> Error {
    watch_broke(causes(&error))
}

/// Why etcd has ended a watch.
pub(crate) fn canceled(response: &WatchResponse) -> Error {
    let reason = response.cancel_reason().to_owned();
    match reason.contains("permission denied") {
        true => Error::new(AuthFailed, "etcd does not let this user watch keys of the namespace"),
        false => Error::new(Unavailable, "etcd canceled a watch"),
    }
    .with_source(reason)
}

pub(crate) const NOT_WRITTEN_BY_DRIVER: &str =
    "a key under the prefix of the namespace was not written by this driver; delete it, or use another namespace";

/// A value that every request needs, but the driver did not write.
pub(crate) fn corrupt(key: &[u8]) -> Error {
    Error::new(Corrupt, NOT_WRITTEN_BY_DRIVER).with_context("key", key.escape_ascii())
}

/// An answer that does not fit the request.
pub(crate) fn unexpected_answer() -> Error {
    Error::new(Unexpected, "etcd's answer does not fit the request")
}

/// Other clients changed the same keys between all attempts.
pub(crate) fn other_clients_came_between() -> Error {
    Error::new(Unavailable, "other clients changed the same keys again and again")
}

/// The session belongs to a history of etcd that is gone.
pub(crate) fn history_lost() -> Error {
    Error::new(SessionLost, "etcd was restored from a snapshot or emptied since the session began")
}
