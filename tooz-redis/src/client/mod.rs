//! The connections of a client and the Lua scripts that run over them: everything that depends on fred.

pub(crate) use fred::util::redis_keyslot as hash_slot;

mod connection;
mod connections;
mod probe;
mod scripts;
mod settings;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use self::connections::Connections;
pub(crate) use self::scripts::*;
pub(crate) use self::settings::{SUPPORTS_TLS, is_tls_failure};
