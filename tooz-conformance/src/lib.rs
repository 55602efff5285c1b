//! The conformance suite for tooz drivers, for ours and for yours: trials on real servers, with injected faults.
//!
//! # How to test a driver
//! A driver's `tests/conformance.rs` (with `harness = false` in `Cargo.toml`) hands one [`Harness`] to [`main`]. The trials
//! then run as tests of `cargo test`, with the same arguments:
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
//!     ensure!(outcome.is_err(), "a server without persistence kept the session over a restart");
//!     Ok(())
//! }
//! ```
//!
//! # How servers are provided
//! The suite uses the first of these that exists, and prints which one it is:
//!
//! 1. the URL in `TOOZ_TEST_<NAME>_URL`, where `<NAME>` is the harness's name: a server that runs already. Trials that
//!    would disturb it are ignored.
//! 2. a container on the host's network, bound to 127.0.0.1: the image in `TOOZ_TEST_<PRODUCT>_IMAGE`, else the stock
//!    image, else the image that `cargo xtask images` builds.
//! 3. the server's own program on the PATH.
//!
//! `TOOZ_TEST_PROVISION=program` skips containers. `TOOZ_TEST_REPORT=<directory>` writes the outcome to a file.
//! Servers end with the test process, even if it is killed: programs at once, containers when the suite runs next.
//!
//! # How to read a failure
//! A failure shows what was expected, what the driver did, where the trial checked it, and the rule. A trial that failed
//! while it or its server was starved of processor time is repeated, at most three times, and the run says so.

mod harness;

pub mod bench;
pub mod broken;
pub mod children;
pub mod history;
pub mod proxy;
mod scale;
pub mod servers;
mod trials;

pub use self::harness::{Context, Failure, Harness, Needs, Target, Trial, UrlOf, main, outcome};
/// The future that a [`Trial`] returns.
pub use futures_util::future::BoxFuture;
