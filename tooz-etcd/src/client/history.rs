//! Which history of the cluster the driver talks to.
//!
//! Revisions only rise, in every answer that has passed the majority. So a smaller revision than one that was seen before
//! the request was sent, or another cluster id, belongs to another history: etcd was restored from a snapshot or emptied.

use std::sync::Mutex;

use etcd_client::ResponseHeader;
use tooz_core::driver::support::lock;

/// The histories that the driver has seen at one URL. It outlives sessions.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Seen>);

/// What was seen of the present history.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    number: u64,
    cluster: u64,
    revision: i64,
}

impl History {
    /// Rises when the driver notices another history.
    pub(super) fn number(&self) -> u64 {
        self.seen().number
    }

    /// What was seen up to now, to be compared with the answer to a request that is sent after this call.
    pub(super) fn seen(&self) -> Seen {
        *lock(&self.0)
    }

    /// Compares an answer with what was seen before the request was sent.
    pub(super) fn observe(&self, before: Seen, header: &ResponseHeader) {
        let mut seen = lock(&self.0);
        if seen.number != before.number {
            return;
        }
        let (cluster, revision) = (header.cluster_id(), header.revision());
        let is_another = (before.cluster != 0 && before.cluster != cluster) || revision < before.revision;
        *seen = match is_another {
            true => Seen { number: before.number + 1, cluster, revision },
            false => Seen { number: before.number, cluster, revision: revision.max(seen.revision) },
        };
        if is_another {
            tracing::warn!(revision, seen = before.revision, "etcd was restored or emptied: all sessions end");
        }
    }
}
