//! The coordinator, how it connects, and the objects that users name.

mod builder;
mod handle;
mod target;

pub use self::builder::{Builder, connect};
pub use self::handle::Coordinator;
pub(crate) use self::target::{RosterTarget, run_operation};
