//! Other processes for trials: holders that can be killed, frozen, and woken after their time.
//!
//! A child is the same test program, told by its environment to play a role instead of running trials. Parent and
//! child talk in lines of JSON. A child ends with its parent: its standard input is closed then, and where `setpriv`
//! is installed the kernel kills it, also when it is frozen.

mod child;
mod role;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::child::Child;
pub(crate) use self::role::play_role;
pub use self::role::{ChildContext, Role};

/// Set in the environment of children: their [`Orders`].
const VARIABLE: &str = "TOOZ_CHILD";
/// Marks the lines that are meant for the parent.
const MARK: char = '@';
/// How long either side waits for a line.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a child is told at its start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) role: String,
    pub(crate) url: String,
    pub(crate) namespace: String,
    pub(crate) ttl: Duration,
    pub(crate) args: Value,
}
