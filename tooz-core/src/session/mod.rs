//! One session with a backend: its liveness, its requests, its renewals and its successors.

pub(crate) mod entry_tree;
mod errors;
pub(crate) mod follower;
pub(crate) mod live;
pub(crate) mod liveness;
pub(crate) mod process;
pub(crate) mod reaper;
pub(crate) mod rejoin;
pub(crate) mod retry;
pub(crate) mod roster_state;
pub(crate) mod shared_tasks;
mod state;
pub(crate) mod supervisor;
pub(crate) mod topic_reader;

pub use self::state::{SessionState, SessionStates};
