//! The commands, one file each.

pub(crate) mod complete;
pub(crate) mod group;
pub(crate) mod held;
pub(crate) mod lead;
pub(crate) mod ls;
pub(crate) mod once;
pub(crate) mod queue;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod topic;
