//! The face that driver authors see: one trait with one idea, the roster.
//!
//! A driver owns atomicity, layout and wire errors and nothing else; core owns everything that is the same on all
//! backends. The [`memory`](crate::memory) driver is the readable reference, `tooz-conformance` the proof.

pub mod admission;
mod roster;
mod session;
pub mod support;
mod topics;

pub use self::roster::{
    Entry, IfBlocked, IfTaken, Key, Kind, Mode, NewEntry, Nonce, Roster, Seq, Snapshot, Standing, Ticket, Version,
};
pub use self::session::{Driver, DriverEntry, DriverInfo, Loss, Session, SessionOptions};
pub use self::topics::{Bounds, Message, Offset, Topics};
