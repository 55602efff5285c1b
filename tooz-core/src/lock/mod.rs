//! Locks, and what semaphores and elections share with them: guards, fencing tokens and the queue.

mod grant_queue;
mod guard;
#[expect(clippy::module_inception, reason = "the type `Lock` has a file of its own, as every main type does")]
mod lock;
mod lock_set;
mod once_per;
mod owner;
mod queue;
mod queue_watch;
mod token;

pub(crate) use self::grant_queue::GrantQueue;
pub use self::guard::Guard;
pub use self::lock::Lock;
pub use self::lock_set::{GuardSet, LockSet};
pub use self::once_per::Period;
pub use self::queue::{Participant, Queue};
pub use self::queue_watch::QueueWatch;
pub use self::token::FencingToken;
