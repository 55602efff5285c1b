//! Maps errors of fred and of the server to those of tooz. No other file does.

use std::io;
use std::time::Duration;

use fred::error::{Error as FredError, ErrorKind as FredKind};
use tooz_core::ErrorKind::{
    AuthFailed, Corrupt, InvalidOption, InvalidUrl, SessionLost, Unavailable, Unexpected, Unsupported,
};
use tooz_core::{Error, ErrorKind};

use crate::client::{Reply, is_tls_failure};

const LOGIN: &str = "the server does not accept the user name or password";
const ACL: &str = "the server's ACL does not allow this; see docs/drivers/redis.md for what is needed";
const UNREACHABLE: &str = "failed to reach the server";
const OLD: &str = "the server lacks a command, or it was renamed; Redis 6.2 or newer is needed";
const DOWN: &str = "the cluster is down; CLUSTER INFO and CLUSTER NODES show why";
const SLOT: &str = "no node of the cluster serves the slot of the namespace; CLUSTER NODES shows which one should";
const REPLICA: &str = "the server is a read-only replica; name the primary, or use Sentinel";
const ORPHAN: &str = "the server is a replica that has lost its primary; name the primary, or use Sentinel";
const TYPE: &str = "a key of the namespace is used by something else; remove the key, or use another namespace";
const RECORD: &str = "a roster holds something that is not an entry; remove it, or use another namespace";
const END: &str =
    "the sequence of the namespace cannot rise further; use another namespace, or stop all clients and remove its key";
const NO_TLS: &str = "the server does not use TLS at this port; use a scheme without TLS, or the port for TLS";
const MAYBE_TLS: &str = "failed to reach the server; if this is a port for TLS, use a scheme with TLS, as rediss";
const NOT_REDIS: &str =
    "the server does not answer as Redis does; if this is a port for TLS, use a scheme with TLS, as rediss";

/// A part of an error of the server or of fred, its kind, and the message for the user. The first row that fits counts.
const KNOWN: &[(&str, ErrorKind, &str)] = &[
    ("WRONGPASS", AuthFailed, LOGIN),
    ("invalid username-password pair", AuthFailed, LOGIN),
    ("invalid password", AuthFailed, LOGIN),
    ("without any password configured", AuthFailed, "a password was given, but the server has none"),
    ("NOAUTH", AuthFailed, "the server asks for a password"),
    ("NOPERM", AuthFailed, ACL),
    ("ACL failure", AuthFailed, ACL),
    ("user executing the script can't", AuthFailed, ACL),
    ("unknown command", Unsupported, OLD),
    ("Unknown Redis command", Unsupported, OLD),
    ("NOPROTO", Unsupported, "the server does not speak RESP3; Redis 6.2 or newer is needed"),
    ("cluster support disabled", InvalidUrl, "the server is not a cluster; use the scheme redis"),
    ("DB index is out of range", InvalidOption, "the server has no database with this number"),
    ("SELECT is not allowed", InvalidOption, "a cluster has the database 0 only"),
    ("WRONGTYPE", Corrupt, TYPE),
    ("CORRUPT", Corrupt, RECORD),
    ("SEQUENCE_END", Corrupt, END),
    ("READONLY", Unavailable, REPLICA),
    ("OOM", Unavailable, "the server is out of memory"),
    ("MISCONF", Unavailable, "the server refuses writes because it cannot persist"),
    ("NOREPLICAS", Unavailable, "the server refuses writes because too few replicas are in step"),
    ("LOADING", Unavailable, "the server is loading its data, and serves when it has"),
    ("MASTERDOWN", Unavailable, ORPHAN),
    ("BUSY", Unavailable, "the server is busy with a script; SCRIPT KILL ends it"),
    ("CLUSTERDOWN", Unavailable, DOWN),
    // fred reports these two, after CLUSTER INFO and CLUSTER SLOTS.
    ("missing cluster state", Unavailable, DOWN),
    ("Missing server for hash slot", Unavailable, SLOT),
    ("TRYAGAIN", Unavailable, "the cluster is moving the keys"),
    ("max number of clients", Unavailable, "the server has no connection left (maxclients)"),
    ("InvalidCertificate", AuthFailed, "TLS: the server's certificate is not trusted; see ssl_ca_certs"),
    ("AlertReceived", AuthFailed, "TLS: the server does not accept the client; see ssl_certfile"),
    ("InvalidContentType", InvalidUrl, NO_TLS),
];

/// The error of a request to `address`.
pub(crate) fn from_fred(error: &FredError, address: &str) -> Error {
    let details = error.details();
    let known = KNOWN.iter().find(|(sign, ..)| details.contains(sign));
    let (kind, message) = match (known, error.kind()) {
        (Some((_, kind, message)), _) => (*kind, *message),
        (None, FredKind::Auth) => (AuthFailed, LOGIN),
        (None, FredKind::Timeout) => (Unavailable, "the server did not answer in time"),
        (None, _) if is_tls_failure(error) => (Unavailable, "the TLS handshake failed"),
        (None, FredKind::Sentinel) => (Unavailable, "no sentinel names a primary that answers"),
        (None, FredKind::Config | FredKind::Url) => (InvalidUrl, "the URL does not fit the server"),
        (None, FredKind::Protocol | FredKind::Parse) => (Unavailable, NOT_REDIS),
        (None, FredKind::IO | FredKind::Canceled | FredKind::Routing | FredKind::Cluster | FredKind::Backpressure) => {
            (Unavailable, UNREACHABLE)
        }
        (None, _) if is_from_server(details) => (Unexpected, "the server refused the request"),
        (None, _) => (Unavailable, UNREACHABLE),
    };
    Error::new(kind, message).with_context("address", address).with_source(io::Error::other(error.to_string()))
}

/// As [`from_fred`], for the first connections of a client.
pub(crate) fn at_first(error: &FredError, address: &str, with_tls: bool) -> Error {
    match error.kind() {
        FredKind::IO | FredKind::Canceled if !with_tls && !error.details().contains("refused") => {
            Error::new(Unavailable, MAYBE_TLS)
                .with_context("address", address)
                .with_source(io::Error::other(error.to_string()))
        }
        _ => from_fred(error, address),
    }
}

/// A server that should use TLS answers without it.
pub(crate) fn without_tls(address: &str) -> Error {
    Error::new(InvalidUrl, NO_TLS).with_context("address", address)
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

/// The namespace has another number of shards than the client.
pub(crate) fn other_shards(recorded: u64, own: usize) -> Error {
    let message = format!(
        "option \"shards\" is {own}, but the namespace was first used with shards={recorded}; use {recorded}, or another namespace"
    );
    Error::new(InvalidOption, message)
}

/// The server was restored from an older copy, or has lost confirmed writes.
pub(crate) fn history_changed() -> Error {
    Error::new(SessionLost, "the server has lost data that it had confirmed, so the session has ended")
}

/// The server did not answer within `timeout`.
pub(crate) fn timed_out(timeout: Duration, address: &str) -> Error {
    Error::new(Unavailable, format!("the server did not answer within {timeout:?}")).with_context("address", address)
}
