//! The connection to ZooKeeper. Nothing outside of this folder knows which client crate is used.

mod backend;
mod background;
mod connection;
mod connection_state;
mod heartbeat;
mod in_flight;
mod probe;
mod watches;

pub(crate) use self::backend::{Backend, CreateMode, SUPPORTS_TLS, Stat};
pub(crate) use self::connection::{Client, GREATEST_TTL};
pub(crate) use self::watches::{Watch, any_fired};
