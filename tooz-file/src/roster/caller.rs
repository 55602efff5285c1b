//! The session and namespace for which a verb runs.

use std::sync::Arc;

/// A session of this process, and the namespace that it works in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) session: i64,
    pub(crate) namespace: Arc<str>,
}
