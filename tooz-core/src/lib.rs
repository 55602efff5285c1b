//! Distributed locks, leader election, group membership and messaging behind one async API; a URL chooses the backend.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tooz_core::Error> {
//! use std::time::Duration;
//!
//! // With another driver: `use tooz_redis as _;` once, and a URL such as redis://localhost:6379/0.
//! let coordinator = tooz_core::connect("memory://tour").await?;
//!
//! let guard = coordinator.lock("nightly").acquire_timeout(Duration::from_secs(5)).await?;
//! println!("ours until {:?} from now, token {}", guard.remaining(), guard.fencing_token());
//! guard.run(work()).await?; // cancelled as soon as the lock is lost
//! guard.release().await?;
//!
//! coordinator.close().await;
//! # Ok(()) }
//! # async fn work() -> Result<(), tooz_core::Error> { Ok(()) }
//! ```
//!
//! # A tour
//!
//! A [`Coordinator`] is one session with a backend. From it come
//! - [`Lock`] and [`Semaphore`]: acquire a [`Guard`], which knows its [`FencingToken`] and tells when it is lost;
//! - [`Election`]: campaign for a [`Leadership`], or observe who leads;
//! - [`Group`]: join for a [`Membership`], list and watch the members, divide work with a [`Partitioner`];
//! - [`Topic`]: publish messages and read them from any offset.
//!
//! Everything is told apart by [`Name`] inside a namespace. Errors are [`Error`] with an [`ErrorKind`]. Operations make
//! `tracing` spans and events, and [metrics](telemetry). All time is `tokio::time`: a test with the memory driver may
//! pause the clock.
//!
//! Authors of drivers begin at [`driver`].

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
pub mod telemetry;
pub mod time;
mod topic;
mod url;

pub use self::characteristic::Characteristic;
pub use self::coordinator::{Builder, Coordinator, connect};
pub use self::driver::{DriverEntry, Message, Offset};
pub use self::election::{Election, Leader, Leadership, Observation};
pub use self::error::{Error, ErrorKind, Result};
pub use self::group::{Capabilities, Group, GroupEvent, GroupWatch, Incarnation, Member, Membership, Value};
pub use self::lock::{FencingToken, Guard, Lock, Participant, Queue};
pub use self::name::Name;
pub use self::partition::{HashRing, Partitioner};
pub use self::registry::Registry;
pub use self::semaphore::Semaphore;
pub use self::session::{SessionState, SessionStates};
pub use self::topic::{StartAt, Subscription, Topic};
pub use self::url::{Host, OptionReader, OptionValue, ServiceUrl};
/// For driver crates: `tooz_core::inventory::submit! { DRIVER }`.
pub use inventory;
