//! What this process runs for a directory: one state and one worker thread, shared by all its sessions.

mod cleanup;
pub(crate) mod executor;
pub(crate) mod instances;
mod join;
pub(crate) mod state;
mod worker;
