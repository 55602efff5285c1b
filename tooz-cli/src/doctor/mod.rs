//! `tooz doctor`: examines the backend and says what to change.
//!
//! `examine` makes the checks, `check` is the result of one of them, `server` asks the
//! server about its settings, and `report` prints.

mod check;
mod examine;
mod report;
mod server;

pub(crate) use self::report::Doctor;
