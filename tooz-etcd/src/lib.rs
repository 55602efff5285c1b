//! The etcd driver: a session is a lease, an entry is a key bound to it, and the order is the order of revisions.
//!
//! Name the crate once (`use tooz_etcd as _;`) and connect to `etcd://host:2379`. URLs, guarantees, keys and behaviour
//! under failure: `docs/drivers/etcd.md`.

mod client;
mod config;
mod driver;
mod enter;
mod error;
mod gate;
mod layout;
mod lease;
mod losses;
mod outbox;
mod places;
mod roster;
mod session;
mod topics;
mod turn;
mod watch;

pub use self::driver::DRIVER;
