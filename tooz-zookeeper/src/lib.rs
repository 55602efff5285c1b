//! The ZooKeeper driver: `zookeeper://`, `zk://` and, as in Python's tooz, `kazoo://`.
//!
//! Name the crate once (`use tooz_zookeeper as _;`), since a crate that is never named is not linked.
//! Guarantees, options and layout are in `docs/drivers/zookeeper.md`.

mod cleanup;
mod client;
mod config;
mod driver;
mod error;
mod history;
mod layout;
mod limits;
mod own_entries;
mod renewal;
mod roster;
mod session;
mod topics;

pub use self::driver::DRIVER;
