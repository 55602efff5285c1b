//! The coordinator, how it connects, and the objects that users name.

mod builder;
mod config;
mod handle;
mod health;
mod lease;
mod names;
mod names_watch;
mod scope;
mod target;

pub use self::builder::{Builder, connect};
pub use self::config::Config;
pub use self::handle::Coordinator;
pub use self::health::Health;
pub use self::names::Names;
pub(crate) use self::names::PAGE;
pub use self::names_watch::NamesWatch;
pub use self::scope::scope;
pub(crate) use self::target::{RosterTarget, run_operation};
