//! The memory driver: `memory://name`, shared by everything in the process that uses the same name and namespace.
//!
//! It is the readable reference of the driver contract, and a test double whose servers can
//! [expire sessions, pause and be partitioned](Server). All its time is `tokio::time`, so a test may pause the clock.

mod line;
mod server;
mod session;
mod topics;

pub use self::server::Server;
pub use self::session::DRIVER;
