//! The ZooKeeper driver: `zookeeper://`, `zk://` and, as Python's tooz has it, `kazoo://`.
//!
//! Name the crate once (`use tooz_zookeeper as _;`), since a crate that is never named is not linked.
//! Guarantees, options and layout are in `docs/drivers/zookeeper.md`.

mod client;
mod config;
mod declare;
mod driver;
mod error;
mod layout;
mod line;
mod mine;
mod roster;
mod session;
mod sweep;
mod topics;
mod turn;
mod watch;
mod withdraw;

pub use self::driver::DRIVER;
