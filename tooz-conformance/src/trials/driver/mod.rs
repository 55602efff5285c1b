//! Trials of the driver contract: `Driver`, `Session` and `Topics`, without tooz-core in between.

pub(crate) mod enter;
pub(crate) mod follow;
pub(crate) mod keys;
pub(crate) mod leave;
pub(crate) mod model;
pub(crate) mod names_watch;
pub(crate) mod rosters;
pub(crate) mod session;
pub(crate) mod snapshot;
pub(crate) mod topics;
pub(crate) mod wait;
