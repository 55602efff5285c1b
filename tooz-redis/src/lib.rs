//! Redis and Valkey for tooz: `redis://host:6379/0`, also with TLS, a Unix socket, Sentinel or Cluster.
//!
//! Name the crate once, as in `use tooz_redis as _;`, to link the driver. `docs/drivers/redis.md` lists options and
//! guarantees.

mod client;
mod config;
mod driver;
mod error;
mod history;
mod layout;
mod notify;
mod roster;
mod session;
mod topics;

pub use self::driver::DRIVER;

tooz_core::inventory::submit! { DRIVER }
