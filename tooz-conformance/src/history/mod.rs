//! Histories: many clients at work while things break, and the rules that what they saw must obey.
//!
//! A [`run`] plays a [`Plan`] at a [`Site`] and returns its [`History`]; [`checks::check`] finds what is wrong with it,
//! [`shrink`] cuts it down to what shows that.

mod backend_site;
pub mod checks;
mod event;
mod fault;
mod group;
mod memory_site;
mod part;
mod recorder;
mod remove;
mod run;
mod seat;
mod shrink;
mod soak;
#[cfg(test)]
mod test_support;
mod topic;
mod trials;
mod verdict;

pub(crate) use self::backend_site::{ROLE, play_role};
pub use self::event::{Act, Change, Client, Event, History, OUTSIDE, Op, Terms, Wish};
pub use self::fault::{Fault, FaultKind, Planned, schedule};
pub use self::memory_site::MemorySite;
pub use self::part::{Connect, Part, Workload, perform};
pub use self::recorder::{Recorder, read_file};
pub use self::run::{Plan, Site, run};
pub use self::shrink::shrink;
pub(crate) use self::soak::soak;
pub(crate) use self::trials::trials;
pub use self::verdict::{Verdict, judge};
