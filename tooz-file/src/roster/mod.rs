//! The verbs of a roster, one file each.

pub(crate) mod declare;
pub(crate) mod enter;
pub(crate) mod follow;
pub(crate) mod leave;
pub(crate) mod replace;
pub(crate) mod snapshot;
pub(crate) mod wait;
