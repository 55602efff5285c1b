//! Maps errors of fred and of the server to those of tooz. No other file does.

use fred::error::{Error as FredError, ErrorKind as FredKind};
use tooz_core::{Error, ErrorKind};

use crate::client::Reply;

/// A part of an error of the server or of fred, its kind, and the message for the user. The first row that fits counts.
const KNOWN: &[(&str, ErrorKind, &str)] = &[
    ("WRONGPASS", ErrorKind::AuthFailed, "the server does not accept the user name or password"),
    ("invalid username-password pair", ErrorKind::AuthFailed, "the server does not accept the user name or password"),
    ("invalid password", ErrorKind::AuthFailed, "the server does not accept the password"),
    ("without any password configured", ErrorKind::AuthFailed, "a password was given, but the server has none"),
    ("NOAUTH", ErrorKind::AuthFailed, "the server asks for a password"),
    (
        "NOPERM",
        ErrorKind::AuthFailed,
        "the server's ACL does not allow this; see docs/drivers/redis.md for what is needed",
    ),
    (
        "ACL failure",
        ErrorKind::AuthFailed,
        "the server's ACL does not allow this; see docs/drivers/redis.md for what is needed",
    ),
    (
        "user executing the script can't",
        ErrorKind::AuthFailed,
        "the server's ACL does not allow this; see docs/drivers/redis.md for what is needed",
    ),
    (
        "unknown command",
        ErrorKind::Unsupported,
        "the server lacks a command, or it was renamed; Redis 6.2 or newer is needed",
    ),
    (
        "Unknown Redis command",
        ErrorKind::Unsupported,
        "the server lacks a command, or it was renamed; Redis 6.2 or newer is needed",
    ),
    ("NOPROTO", ErrorKind::Unsupported, "the server does not speak RESP3; Redis 6.2 or newer is needed"),
    ("cluster support disabled", ErrorKind::InvalidUrl, "the server is not a cluster; use the scheme redis"),
    ("DB index is out of range", ErrorKind::InvalidOption, "the server has no database with this number"),
    ("SELECT is not allowed", ErrorKind::InvalidOption, "a cluster has the database 0 only"),
    ("WRONGTYPE", ErrorKind::Corrupt, "a key of the namespace is used by something else; remove the key, or use another namespace"),
    ("CORRUPT", ErrorKind::Corrupt, "a roster holds something that is not an entry; remove it, or use another namespace"),
    (
        "SEQUENCE_END",
        ErrorKind::Corrupt,
        "the sequence of the namespace cannot rise any more; use another namespace, or end all clients and remove its key",
    ),
    ("READONLY", ErrorKind::Unavailable, "the server is a read-only replica; name the primary, or use Sentinel"),
    ("OOM", ErrorKind::Unavailable, "the server is out of memory"),
    ("MISCONF", ErrorKind::Unavailable, "the server refuses writes because it cannot persist"),
    ("NOREPLICAS", ErrorKind::Unavailable, "the server refuses writes because too few replicas are in step"),
    ("LOADING", ErrorKind::Unavailable, "the server is loading its data, and serves when it has"),
    (
        "MASTERDOWN",
        ErrorKind::Unavailable,
        "the server is a replica that has lost its primary; name the primary, or use Sentinel",
    ),
    ("BUSY", ErrorKind::Unavailable, "the server is busy with a script; SCRIPT KILL ends it"),
    ("CLUSTERDOWN", ErrorKind::Unavailable, "the cluster is down; CLUSTER INFO and CLUSTER NODES show why"),
    // fred reports these two, after CLUSTER INFO and CLUSTER SLOTS.
    ("missing cluster state", ErrorKind::Unavailable, "the cluster is down; CLUSTER INFO and CLUSTER NODES show why"),
    (
        "Missing server for hash slot",
        ErrorKind::Unavailable,
        "no node of the cluster serves the slot of the namespace; CLUSTER NODES shows which one should",
    ),
    ("TRYAGAIN", ErrorKind::Unavailable, "the cluster is moving the keys"),
    ("max number of clients", ErrorKind::Unavailable, "the server has no connection left (maxclients)"),
    ("InvalidCertificate", ErrorKind::AuthFailed, "TLS: the server's certificate is not trusted; see ssl_ca_certs"),
    ("AlertReceived", ErrorKind::AuthFailed, "TLS: the server does not accept the client; see ssl_certfile"),
];

/// The error of a request to `address`.
pub(crate) fn from_fred(error: &FredError, address: &str) -> Error {
    let details = error.details();
    let known = KNOWN.iter().find(|(sign, ..)| details.contains(sign));
    let (kind, message) = match (known, error.kind()) {
        (Some((_, kind, message)), _) => (*kind, *message),
        (None, FredKind::Auth) => (ErrorKind::AuthFailed, "the server does not accept the user name or password"),
        (None, FredKind::Timeout) => (ErrorKind::Unavailable, "the server did not answer in time"),
        (None, FredKind::Tls) => (ErrorKind::Unavailable, "the TLS handshake failed"),
        (None, FredKind::Sentinel) => (ErrorKind::Unavailable, "no sentinel names a primary that answers"),
        (None, FredKind::IO | FredKind::Canceled | FredKind::Routing | FredKind::Cluster | FredKind::Backpressure) => {
            (ErrorKind::Unavailable, "failed to reach the server")
        }
        (None, FredKind::Config | FredKind::Url) => (ErrorKind::InvalidUrl, "the URL does not fit the server"),
        (None, FredKind::Protocol | FredKind::Parse) => {
            (ErrorKind::Unavailable, "the server does not answer as Redis does")
        }
        (None, _) if is_from_server(details) => (ErrorKind::Unexpected, "the server refused the request"),
        (None, _) => (ErrorKind::Unavailable, "failed to reach the server"),
    };
    Error::new(kind, message).with_context("address", address).with_source(std::io::Error::other(error.to_string()))
}

/// Whether the request went to a wrong server: a replica, or by an outdated map of the cluster.
pub(crate) fn is_from_elsewhere(error: &FredError) -> bool {
    ["READONLY", "MASTERDOWN", "Missing server for hash slot"].iter().any(|sign| error.details().contains(sign))
}

/// Errors of the server begin with a word in capitals; those of fred do not.
fn is_from_server(details: &str) -> bool {
    details.split(' ').next().is_some_and(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// The error of a script that met a key of a wrong type: `found` has for each such key its name, type and expected type.
pub(crate) fn wrong_type(error: Error, found: Option<Reply>) -> Error {
    let Some(mut found) = found else { return error };
    let mut word = || found.bytes().map(|word| String::from_utf8_lossy(&word).into_owned());
    let (Some(key), Some(is), Some(expected)) = (word(), word(), word()) else { return error };
    error.with_context("key", key).with_context("type", is).with_context("expected", expected)
}

/// The server was restored or emptied, or has lost confirmed writes.
pub(crate) fn history_changed() -> Error {
    Error::new(ErrorKind::SessionLost, "the server has lost data that it had confirmed, so the session has ended")
}

/// The server did not answer within `timeout`.
pub(crate) fn timed_out(timeout: std::time::Duration, address: &str) -> Error {
    let message = format!("the server did not answer within {timeout:?}");
    Error::new(ErrorKind::Unavailable, message).with_context("address", address)
}
