//! The same API for programs without async: each call waits in the calling thread. Needs the feature `blocking`.
//!
//! A [`Coordinator`] has a runtime of its own, with one thread that renews the session. The types have the most important
//! methods of their namesakes at the root of the crate, which document behaviour and errors. Use all others through
//! [`Coordinator::inner`] and [`Coordinator::block_on`].
//!
//! Dropping the last clone of a coordinator, and of everything made from it, closes the session and waits for the answer.
//! A program that leaves `main` in the usual way therefore leaves nothing behind.
//!
//! Inside an async runtime a thread must not wait: there, every call fails with `Unsupported`.
//!
//! ```
//! # fn main() -> Result<(), tooz_core::Error> {
//! use std::time::Duration;
//! use tooz_core::blocking::Coordinator;
//!
//! let coordinator = Coordinator::connect("memory://blocking-doc")?;
//! let guard = coordinator.lock("nightly").acquire_timeout(Duration::from_secs(5))?;
//! println!("fencing token {}", guard.fencing_token());
//! assert!(guard.is_held()); // ask again before each step of the work
//! guard.release()?;
//! # Ok(()) }
//! ```

mod calls;
mod coordinator;
mod election;
mod group;
mod lock;
mod lock_set;
mod once_per;
mod runtime;
mod semaphore;
mod topic;

pub use self::coordinator::Coordinator;
pub use self::election::{Election, Leadership, Observation};
pub use self::group::{Group, GroupWatch, Membership};
pub use self::lock::{Guard, Lock};
pub use self::lock_set::{GuardSet, LockSet};
pub use self::semaphore::Semaphore;
pub use self::topic::{Subscription, Topic};
