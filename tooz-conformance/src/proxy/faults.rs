//! The faults of a proxy that are active, and its traffic counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::traffic::{Direction, Traffic};

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Treatment {
    #[default]
    Pass,
    Discard,
    Hold,
}

/// The active faults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) to_server: Treatment,
    pub(crate) to_client: Treatment,
    pub(crate) delay: Duration,
    /// What the server sends without a request is discarded.
    pub(crate) loses_notifications: bool,
}

impl Faults {
    pub(crate) fn discard(&mut self, direction: Direction) {
        self.set(direction, Treatment::Discard);
    }

    pub(crate) fn hold(&mut self, direction: Direction) {
        self.set(direction, Treatment::Hold);
    }

    fn set(&mut self, direction: Direction, treatment: Treatment) {
        if direction != Direction::ToClient {
            self.to_server = treatment;
        }
        if direction != Direction::ToServer {
            self.to_client = treatment;
        }
    }

    /// Whether some bytes do not pass.
    pub(crate) fn loses_bytes(&self) -> bool {
        self.loses_notifications || self.to_server != Treatment::Pass || self.to_client != Treatment::Pass
    }

    pub(crate) fn treatment(&self, direction: Direction) -> Treatment {
        if direction == Direction::ToServer { self.to_server } else { self.to_client }
    }
}

/// Shared by a proxy and its connections.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) faults: watch::Sender<Faults>,
    /// Counts the cuts. A connection ends when the count changes.
    pub(crate) cuts: watch::Sender<u64>,
    /// The number of chunks that may still pass to the server before a connection is cut. 0 means no limit.
    pub(crate) cut_after: AtomicU64,
    pub(crate) traffic: Counters,
}

impl Default for State {
    fn default() -> Self {
        let (faults, cuts) = (watch::Sender::new(Faults::default()), watch::Sender::new(0));
        Self { faults, cuts, cut_after: AtomicU64::new(0), traffic: Counters::default() }
    }
}

impl State {
    pub(crate) fn cut_all(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// Whether the next chunk to the server is the last one of its connection.
    pub(crate) fn is_last_chunk(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.cut_after.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) == Ok(1)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    bytes_to_server: AtomicU64,
    bytes_to_client: AtomicU64,
    chunks_to_server: AtomicU64,
    chunks_to_client: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, direction: Direction, bytes: usize) {
        let (chunks, total) = match direction {
            Direction::ToServer => (&self.chunks_to_server, &self.bytes_to_server),
            _ => (&self.chunks_to_client, &self.bytes_to_client),
        };
        chunks.fetch_add(1, Ordering::Relaxed);
        total.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            bytes_to_server: self.bytes_to_server.load(Ordering::Relaxed),
            bytes_to_client: self.bytes_to_client.load(Ordering::Relaxed),
            chunks_to_server: self.chunks_to_server.load(Ordering::Relaxed),
            chunks_to_client: self.chunks_to_client.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }
}
