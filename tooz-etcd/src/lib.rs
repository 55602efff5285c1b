//! The etcd driver: a session is a lease, an entry is a key bound to it, and the order is the order of create revisions.
//!
//! Name the crate once (`use tooz_etcd as _;`) and connect to `etcd://host:2379`. URLs, guarantees, keys and behaviour
//! under failure: `docs/drivers/etcd.md`.

mod blockers;
mod client;
mod config;
mod driver;
mod error;
mod fence;
mod key_pool;
mod layout;
mod losses;
mod publisher;
mod roster;
mod session;
mod topics;

pub use self::driver::DRIVER;
