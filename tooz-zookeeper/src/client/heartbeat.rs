//! The ephemeral znode that renewals rewrite.
//!
//! A rewrite goes through the leader. It proves that the session lives, that the connected server is up to date for what is read
//! after it, and by its zxid that the servers still have the same history.

use std::sync::Arc;

use super::backend::Backend;
use super::connection_state::ConnectionState;
use crate::error::{Answer, Fault};
use crate::history::History;

/// The heartbeat of one session.
#[derive(Debug)]
pub(super) struct Heartbeat {
    pub(super) path: String,
    pub(super) data: Vec<u8>,
    pub(super) history: Arc<History>,
    /// The number of the history that the session belongs to.
    pub(super) number: u64,
}

impl Heartbeat {
    /// Rewrites the znode. Ends the session if the server does not know it, or has another history.
    pub(super) async fn write(&self, backend: &dyn Backend, state: &ConnectionState) -> Answer<()> {
        let before = self.history.before_write();
        match backend.set_data(&self.path, &self.data, None).await {
            // zookeeper-async opens another session silently when the server has expired the first one.
            Err(Fault::NoNode) => state.end("the server has expired it"),
            Err(fault) => return Err(fault),
            Ok(stat) if self.history.after_write(before, stat.mzxid) != self.number => {
                state.end("the servers were restored or emptied");
            }
            Ok(_) => {}
        }
        state.check()
    }
}
