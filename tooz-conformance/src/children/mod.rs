//! Child processes for trials: holders that can be killed, frozen and resumed, or suspended with their host.
//!
//! A child is the same test program; its environment tells it to play a [`Role`] instead of running trials. Parent and
//! child exchange lines of JSON. A child ends with its parent: its standard input is closed then, and where `setpriv`
//! is installed the kernel kills it, even if it is frozen.

mod child;
mod play;
mod protocol;
mod role;
mod suspend;

pub use self::child::Child;
pub(crate) use self::play::play_role;
pub(crate) use self::protocol::Assignment;
pub use self::role::{ChildContext, Role};
pub(crate) use self::suspend::SuspendableClock;
