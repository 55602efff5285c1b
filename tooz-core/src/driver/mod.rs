//! The driver contract: what a backend implements.
//!
//! - [`Driver`] opens sessions, [`Session`] keeps rosters, [`Topics`] keeps logs. The methods state their rules.
//! - A driver is responsible for atomicity, storage layout and wire errors. Core is responsible for everything that is
//!   the same on all backends, such as renewals, deadlines and retries.
//! - [`admission`] is the rule that every driver implements; [`support`], [`OwnEntries`], [`Wakeups`], [`History`] and
//!   [`TlsFiles`] are parts that drivers share.
//! - The [`memory`](crate::memory) driver is the readable reference. The suite `tooz-conformance` checks every rule.

pub mod admission;
mod driver_entry;
mod entry;
mod follow;
mod history;
mod new_name;
mod own_entries;
mod roster;
mod session;
mod session_options;
pub mod support;
mod tls_files;
mod topics;
mod wakeups;

pub use self::driver_entry::{Driver, DriverEntry, DriverInfo};
pub use self::entry::{Entry, IfBlocked, IfTaken, Key, Mode, NewEntry, Nonce, Seq, Standing, Ticket};
pub use self::follow::{Change, Follow, FollowBySnapshots, Update, snapshot_newer_than};
pub use self::history::History;
pub use self::new_name::NewName;
pub use self::own_entries::OwnEntries;
pub use self::roster::{Kind, Roster, Snapshot, Version};
pub use self::session::{Loss, Session};
pub use self::session_options::SessionOptions;
pub use self::tls_files::{TlsFiles, TlsPems};
pub use self::topics::{Bounds, Message, Offset, Topics};
pub use self::wakeups::{Wakeup, Wakeups};
