//! The trials, for every backend.
#![allow(clippy::unwrap_used, reason = "tests")]

mod exit_codes;
mod interrupts;
mod json;
mod kills;
mod list;
mod losses;
mod objects;
mod services;
mod top;

pub(crate) use self::list::all;
