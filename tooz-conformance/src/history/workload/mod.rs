//! What the clients of a run do: they use locks and the like, groups, or topics.

mod group;
mod kind;
mod lock_client;
mod perform;
mod process_plan;
mod simulated_client;
mod topic;

pub use self::kind::Workload;
pub(super) use self::kind::{OBJECTS, PERMITS, object_name};
pub use self::perform::perform;
pub use self::process_plan::ProcessPlan;
pub use self::simulated_client::Connect;
