//! The memory driver: `memory://name`, shared by all coordinators of the process that use the same name and namespace.
//!
//! It is the readable reference of the driver contract, and a test double whose servers can
//! [expire sessions, pause, partition members and lose their data](Server). It reads time from `tokio::time` only, so a test may pause
//! the clock.

mod roster;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod topics;

pub use self::server::{Backup, Server};
pub use self::session::DRIVER;
