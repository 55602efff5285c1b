//! The behaviour suite for tooz drivers, ours or not: real servers, faults, and trials.
//!
//! A driver's `tests/conformance.rs` (with `harness = false` in `Cargo.toml`) is one [`Harness`] handed to [`main`]. Its
//! trials then run as `cargo test` runs tests, with the same arguments:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use tooz_conformance::servers::redis;
//! use tooz_conformance::{Context, Failure, Harness, Needs, ensure};
//! # use tooz_core::memory as tooz_redis;
//!
//! fn main() -> ExitCode {
//!     let url = |addresses: &[String]| format!("redis://{}/0", addresses[0]);
//!     let harness = Harness::new("redis", tooz_redis::DRIVER, redis::single(), url)
//!         .trial("redis::a_restart_ends_sessions", Needs::OWN_SERVER, a_restart_ends_sessions);
//!     tooz_conformance::main(harness)
//! }
//!
//! async fn a_restart_ends_sessions(context: Context) -> Result<(), Failure> {
//!     let session = context.session("a").await?;
//!     context.server()?.nodes()[0].restart().await?;
//!     let outcome = session.renew().await;
//!     ensure!(outcome.is_err(), "a server without persistence remembered the session");
//!     Ok(())
//! }
//! ```
//!
//! # By which means servers are run
//! The first of these that there is; the run says which one it was:
//!
//! 1. the URL in `TOOZ_TEST_<NAME>_URL`, after the harness's name: a server that runs already. Trials that would harm
//!    it are ignored then.
//! 2. a container on the host's network, bound to 127.0.0.1: the image in `TOOZ_TEST_<PRODUCT>_IMAGE`, else the stock
//!    image, else the one that `cargo xtask images` builds.
//! 3. the server's own program on the PATH.
//!
//! `TOOZ_TEST_MEANS=program` leaves containers out, `TOOZ_TEST_REPORT=<directory>` asks for the outcome as a file.
//! Servers end with the test process, also when it is killed: programs at once, containers when the suite runs next.

mod backend;
pub mod bench;
pub mod broken;
pub mod children;
mod context;
mod failure;
mod harness;
pub mod history;
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
pub use self::runner::{main, outcome};
pub use self::trial::{Needs, Trial};
/// A future as a [`Trial`] returns it.
pub use futures_util::future::BoxFuture;
