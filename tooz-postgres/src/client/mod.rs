//! Everything that knows the client crate: connections, TLS, the installation of the schema, and replies.

mod connection;
mod connections;
mod install;
mod reply;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use self::connections::Connections;
pub(crate) use self::reply::{Param, Reply};
