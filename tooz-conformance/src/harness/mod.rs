//! The harness: what is tested, the trials, what a trial is given, and how trials are run and reported.

mod config;
mod context;
mod driver_under_test;
mod failure;
mod joined;
mod renewing;
mod report;
mod runner;
mod running_backend;
mod starvation;
mod target;
mod trial;

pub use self::config::Harness;
pub use self::context::Context;
pub use self::driver_under_test::UrlOf;
pub(crate) use self::driver_under_test::{Backend, DriverUnderTest};
pub use self::failure::Failure;
pub(crate) use self::joined::joined;
pub(crate) use self::renewing::Renewing;
pub use self::runner::{main, outcome};
pub(crate) use self::running_backend::RunningBackend;
pub use self::target::Target;
pub use self::trial::{Needs, Trial};
