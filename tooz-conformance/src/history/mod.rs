//! Histories: many clients work while faults are injected, and checks find what the clients must not have seen.
//!
//! [`run`] carries out a [`Plan`] in an [`Environment`] and returns its [`History`]. [`checks::check`] returns the rules
//! that the history breaks, and [`shrink`] reduces it to the events that show a violation.

mod backend_environment;
pub mod checks;
mod client_id;
mod environment;
mod event;
mod fault;
mod fork;
mod memory_environment;
mod neighbour;
mod plan;
mod recorder;
mod remove;
mod run;
mod shrink;
mod soak;
#[cfg(test)]
mod test_support;
mod timing;
mod trials;
mod verdict;
mod workload;

pub(crate) use self::backend_environment::{ROLE, play_role};
pub use self::client_id::{Client, OUTSIDE};
pub use self::environment::Environment;
pub use self::event::{Act, Change, Event, History, Op, Request};
pub use self::fault::{Fault, FaultKind, Planned, schedule};
pub use self::memory_environment::MemoryEnvironment;
pub(crate) use self::neighbour::unreadable_values;
pub use self::plan::Plan;
pub use self::recorder::{Recorder, read_file};
pub use self::run::run;
pub use self::shrink::shrink;
pub(crate) use self::soak::soak;
pub use self::timing::Timing;
pub(crate) use self::trials::trials;
pub use self::verdict::{Verdict, judge};
pub use self::workload::{Connect, ProcessPlan, Workload, perform};
