//! The behaviour suite for tooz drivers, ours or not: real servers, faults, and trials.
//!
//! A driver's `tests/conformance.rs` (with `harness = false`) is one [`Harness`] handed to [`main`].

mod backend;
pub mod children;
mod context;
mod failure;
mod harness;
pub mod proxy;
mod reach;
mod report;
mod runner;
pub mod servers;
mod trial;
mod trials;

pub use self::context::Context;
pub use self::failure::Failure;
pub use self::harness::{Harness, UrlOf};
pub use self::reach::Reach;
pub use self::runner::main;
pub use self::trial::{Needs, Trial};
/// A future as a [`Trial`] returns it.
pub use futures_util::future::BoxFuture;
