//! Distributed locks, leader election, group membership and messaging behind one async API. A URL chooses the backend.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tooz_core::Error> {
//! use std::time::Duration;
//!
//! // For Redis: `cargo add tooz --features redis`, and connect to redis://localhost:6379/0.
//! tooz_core::scope("memory://tour", |coordinator| async move {
//!     let guard = coordinator.lock("nightly").acquire_timeout(Duration::from_secs(5)).await?;
//!     println!("held for {:?} without a renewal, fencing token {}", guard.remaining(), guard.fencing_token());
//!     guard.run(work()).await?; // dropped as soon as the lock is lost
//!     guard.release().await
//! })
//! .await // the coordinator is closed, even after an error or a panic
//! # }
//! # async fn work() -> Result<(), tooz_core::Error> { Ok(()) }
//! ```
//!
//! # Tour
//!
//! A [`Coordinator`] is one session with a backend. [`scope`] closes it on every way out; [`connect`] leaves that to you. A
//! coordinator makes
//! - [`Lock`] and [`Semaphore`]: acquire a [`Guard`], which carries a [`FencingToken`] and reports its loss;
//! - [`LockSet`]: acquire several locks at once;
//! - [`Election`]: campaign for a [`Leadership`], or observe the leader; [`Election::lead`] works while this client leads;
//! - [`Group`]: join for a [`Membership`], list and watch the members, divide work with a [`Partitioner`];
//! - [`Topic`]: publish messages, and read them from any offset that is kept.
//!
//! Objects are identified by [`Name`] inside a namespace; two clients that use the same name share the object.
//!
//! # Errors
//!
//! Every operation returns [`Error`], which has an [`ErrorKind`] for programs and a text for people. An operation that
//! needs the backend is repeated for the [request timeout](Builder::timeout) before it fails with `Unavailable`.
//!
//! # Cancel safety
//!
//! You may drop every future of this crate at any point. An operation that documents more says so.
//!
//! # Time, tracing and metrics
//!
//! Operations run in `tracing` spans and record [metrics](telemetry). All time is `tokio::time`, so a test with the
//! [memory driver](memory) may pause the clock.
//!
//! # Drivers
//!
//! Authors of drivers start at [`driver`].

#[cfg(feature = "blocking")]
pub mod blocking;
mod characteristic;
mod coordinator;
pub mod driver;
mod election;
mod entry;
mod error;
mod group;
mod lock;
pub mod memory;
mod name;
mod partition;
mod registry;
mod semaphore;
mod session;
mod step;
pub mod telemetry;
mod text_or_bytes;
pub mod time;
mod topic;
mod url;

pub use self::characteristic::Characteristic;
pub use self::coordinator::{Builder, Config, Coordinator, Health, Names, NamesWatch, connect, scope};
pub use self::driver::{DriverEntry, Message, NewName, Offset};
pub use self::election::{Election, Leader, Leadership, Observation};
pub use self::error::{Error, ErrorKind, Result};
pub use self::group::{Capabilities, Group, GroupEvent, GroupWatch, Incarnation, Member, Membership, Value};
pub use self::lock::{FencingToken, Guard, GuardSet, Lock, LockSet, Participant, Period, Queue, QueueWatch};
pub use self::name::Name;
pub use self::partition::{Assignment, AssignmentEvent, Assignments, HashRing, Partitioner};
pub use self::registry::Registry;
pub use self::semaphore::Semaphore;
pub use self::session::{SessionState, SessionStates};
pub use self::topic::{StartAt, Subscription, Topic};
pub use self::url::{Host, OptionReader, OptionValue, ServiceUrl};
/// For driver crates: `tooz_core::inventory::submit! { DRIVER }`.
pub use inventory;
/// The token with which a program tells [`Election::lead`] and [`Lock::once_per`] to shut down.
pub use tokio_util::sync::CancellationToken;
