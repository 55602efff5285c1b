//! What parent and child agree on: the assignment in the environment, and lines of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The environment variable that holds a child's [`Assignment`].
pub(super) const VARIABLE: &str = "TOOZ_CHILD";
/// Marks the lines of a child's output that are meant for the parent.
pub(super) const MARK: char = '@';
/// How long the parent waits for a line.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a child has to do, and where it connects to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) role: String,
    pub(crate) url: String,
    pub(crate) namespace: String,
    pub(crate) ttl: Duration,
    pub(crate) args: Value,
}
