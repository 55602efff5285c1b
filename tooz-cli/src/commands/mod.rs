//! The commands, one file each.

pub(crate) mod held;
pub(crate) mod run;
