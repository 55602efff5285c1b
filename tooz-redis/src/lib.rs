//! Redis and Valkey for tooz: `redis://host:6379/0`, also with TLS, a Unix socket, Sentinel or Cluster.
//!
//! Name the crate once, as in `use tooz_redis as _;`, and its URLs work. Options and guarantees are in
//! `docs/drivers/redis.md`.

mod bells;
mod client;
mod config;
mod driver;
mod error;
mod feed;
mod layout;
mod link;
mod roster;
mod script;
mod session;
mod tls;
mod topics;
mod watch;

pub use self::driver::DRIVER;

tooz_core::inventory::submit! { DRIVER }
