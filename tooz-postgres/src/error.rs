//! Maps errors of the client crate and of the server to those of tooz. No other file does.

use std::time::Duration;

use tokio_postgres::error::{Error as Native, SqlState};
use tooz_core::ErrorKind::{AuthFailed, Corrupt, InvalidOption, SessionLost, Unavailable, Unexpected, Unsupported};
use tooz_core::{Error, ErrorKind};

use crate::config::Config;

const UNREACHABLE: &str = "failed to reach the server";
const RIGHTS: &str = "the user has no right to do this; `tooz doctor` shows the SQL that grants what is needed";
const READ_ONLY: &str =
    "the server takes no writes; name the primary, or several hosts with target_session_attrs=read-write";
const MISSING: &str = "the tables or functions of tooz are not found: the schema is damaged, and is installed again after it was \
                       dropped; or a pooler exchanges connections, which must pool by session, not by transaction";

/// How an SQLSTATE begins, its kind, and the message for the user. The first row that fits counts.
const KNOWN: &[(&str, ErrorKind, &str)] = &[
    ("TZ001", SessionLost, "the server no longer knows the session"),
    ("28", AuthFailed, "the server does not accept the user name or password"),
    ("42501", AuthFailed, RIGHTS),
    ("3D000", InvalidOption, "the server has no such database"),
    ("25006", Unavailable, READ_ONLY),
    ("40001", Unavailable, "the transaction collided with another one"),
    ("40P01", Unavailable, "the transaction was ended because of a deadlock"),
    ("55P03", Unavailable, "a lock was not free within the server's lock_timeout"),
    ("57014", Unavailable, "the server has ended the statement: it took longer than the timeout, or was cancelled"),
    ("57P01", Unavailable, "the server has ended the connection on an administrator's command"),
    ("57P03", Unavailable, "the server is starting up, recovering or shutting down"),
    ("53300", Unavailable, "the server has no connection left (max_connections)"),
    ("53100", Unavailable, "the server's disk is full"),
    ("53", Unavailable, "the server lacks a resource"),
    ("54000", InvalidOption, "the value is too large for the server"),
    ("55000", Unsupported, POOLER),
    ("42P01", Corrupt, MISSING),
    ("42883", Corrupt, MISSING),
    ("42P05", Unsupported, POOLER),
    ("26000", Unsupported, POOLER),
    ("08", Unavailable, UNREACHABLE),
    ("40", Unavailable, "the transaction was ended by the server"),
    ("57", Unavailable, "the server has ended the statement or the connection"),
    ("58", Unavailable, "the server has met an error of its system"),
    ("XX", Unavailable, "the server has met an internal error"),
];

const POOLER: &str =
    "a pooler between client and server has exchanged the connection; it must pool by session, not by transaction";

/// The error of a request to `address`.
pub(crate) fn from_native(error: Native, address: &str) -> Error {
    let known = error.code().map(|state| KNOWN.iter().find(|(prefix, ..)| state.code().starts_with(prefix)));
    let (kind, message) = match known {
        Some(Some((_, kind, message))) => (*kind, *message),
        Some(None) => (Unexpected, "the server refused the request"),
        None => local(&error),
    };
    Error::new(kind, message).with_context("address", address).with_source(error)
}

/// An error that no server has sent.
fn local(error: &Native) -> (ErrorKind, &'static str) {
    let text = error.to_string();
    if text.contains("TLS") {
        return (AuthFailed, "failed to set up TLS with the server; see the options sslmode and sslrootcert");
    }
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match text.starts_with("invalid configuration") || text.contains("authentication") {
        true if cause.contains("password missing") => (AuthFailed, "the server asks for a password"),
        true => (AuthFailed, "the server asks for an authentication that is not supported"),
        false if cause.contains("does not allow writes") => (Unavailable, READ_ONLY),
        false => (Unavailable, UNREACHABLE),
    }
}

/// Whether the user may not do something, or not see the schema.
pub(crate) fn lacks_rights(error: &Native) -> bool {
    error.code().is_some_and(|code| [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::INVALID_SCHEMA_NAME].contains(code))
}

/// The user may not use the schema if it exists, or not create it.
pub(crate) fn not_installed(error: Native, config: &Config, user: &str, exists: bool) -> Error {
    let schema = config.quoted_schema();
    let message = match exists {
        true => format!(
            "the user may not use the tables of tooz; let their owner run: GRANT USAGE ON SCHEMA {schema} TO {user}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}; \
             GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {user};"
        ),
        false => format!(
            "the user may not install the tables of tooz; let the owner of the database run: \
             CREATE SCHEMA {schema} AUTHORIZATION {user};"
        ),
    };
    Error::new(AuthFailed, message).with_context("address", &config.address).with_source(error)
}

/// Whether the server takes no writes.
pub(crate) fn is_read_only(error: &Native) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// The server was restored from an older copy, or has lost confirmed writes.
pub(crate) fn history_changed() -> Error {
    Error::new(SessionLost, "the server has lost data that it had confirmed, so the session has ended")
}

/// The server did not answer within `timeout`.
pub(crate) fn timed_out(timeout: Duration, address: &str) -> Error {
    Error::new(Unavailable, format!("the server did not answer within {timeout:?}")).with_context("address", address)
}
