//! What users see of failures that the memory driver alone cannot cause, through a driver that wraps it.

mod ended_runtime;
mod membership;
mod new_history;
mod release;
mod time_limits;
mod wrapper;
