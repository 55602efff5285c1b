//! The processes that use one directory: which there are, which of them live, and how one wakes another.

pub(crate) mod liveness;
pub(crate) mod notify;
pub(crate) mod registry;
