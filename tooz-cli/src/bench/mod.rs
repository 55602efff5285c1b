//! `tooz bench`: measures the user's own backend, within bounds.

mod figure;
mod load;
mod report;

pub(crate) use self::report::Bench;
