//! What this process runs for a directory: one state, one queue and one worker thread, shared by all its sessions.

pub(crate) mod chores;
pub(crate) mod executor;
pub(crate) mod instances;
pub(crate) mod join;
pub(crate) mod local_session;
pub(crate) mod queue;
pub(crate) mod state;
pub(crate) mod wakeups;
pub(crate) mod worker;
