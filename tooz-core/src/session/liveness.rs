//! Whether a session is alive: here the loss of a lock, a leadership or a membership is decided.
//!
//! - A session is alive until the backend reports its end, the coordinator closes it, or its deadline passes.
//! - The deadline is the time at which the last successful renewal was *sent*, plus the TTL, less a tenth of the TTL.
//!   The backend counts the TTL from a later moment, so the client gives up before the backend grants to another.
//! - The tenth covers the drift between the two clocks and the time that the client takes to notice.
//!
//! The recipe is that of leases: C. Gray and D. Cheriton, "Leases: an efficient fault-tolerant mechanism for
//! distributed file cache consistency", 1989.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind};

/// The liveness of one session.
#[derive(Debug)]
pub(crate) struct Liveness {
    deadline: Deadline,
    lost: CancellationToken,
    cause: OnceLock<Error>,
}

impl Liveness {
    /// A session whose opening was requested at `sent`. Without a TTL its liveness does not depend on time.
    pub(crate) fn new(ttl: Option<Duration>, sent: Instant) -> Self {
        Self { deadline: Deadline::new(ttl, sent), lost: CancellationToken::new(), cause: OnceLock::new() }
    }

    /// Records that the renewal sent at `sent` has succeeded.
    pub(crate) fn renewed(&self, sent: Instant) {
        self.deadline.extend(sent);
    }

    /// When the session is lost unless a renewal succeeds before; `None` if its liveness does not depend on time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// For how long the session stays alive without a further renewal; `None` if it does not depend on time.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.deadline.remaining()
    }

    /// Whether the client may rely on what the session holds. Compares the clock with the deadline; never waits.
    pub(crate) fn is_alive(&self) -> bool {
        !self.lost.is_cancelled() && !self.deadline.has_passed()
    }

    /// Ends the session for this client. The first cause is kept.
    pub(crate) fn lose(&self, cause: Error) {
        let _ = self.cause.set(cause);
        self.lost.cancel();
    }

    /// Why the session is lost. Meaningful once it is.
    pub(crate) fn cause(&self) -> Error {
        self.cause.get().cloned().unwrap_or_else(deadline_passed)
    }

    /// Waits until the session is lost and returns the cause. Each caller has a timer of its own for the deadline, so
    /// the loss does not depend on the task that renews the session. Cancel safe.
    pub(crate) async fn lost(&self) -> Error {
        loop {
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return self.cause(),
                () = self.deadline.passed() => {}
            }
            // A renewal may have moved the deadline while this call waited for the earlier one.
            if !self.is_alive() {
                self.lose(deadline_passed());
            }
        }
    }

    /// Waits until [`lose`](Self::lose) was called. It has no timer: the supervisor watches the deadline. Cancel safe.
    pub(crate) async fn loss_recorded(&self) {
        self.lost.cancelled().await;
    }
}

/// The deadline of a session. It only moves forward.
#[derive(Debug)]
struct Deadline {
    ttl: Option<Duration>,
    opened: Instant,
    /// Nanoseconds after `opened`.
    nanos: AtomicU64,
}

impl Deadline {
    fn new(ttl: Option<Duration>, opened: Instant) -> Self {
        let deadline = Self { ttl, opened, nanos: AtomicU64::new(0) };
        deadline.extend(opened);
        deadline
    }

    fn extend(&self, sent: Instant) {
        if let Some(ttl) = self.ttl {
            let after_opening = sent.saturating_duration_since(self.opened).saturating_add(ttl - ttl / 10);
            let nanos = u64::try_from(after_opening.as_nanos()).unwrap_or(u64::MAX);
            self.nanos.fetch_max(nanos, Ordering::SeqCst);
        }
    }

    fn get(&self) -> Option<Instant> {
        self.ttl?;
        Some(self.opened + Duration::from_nanos(self.nanos.load(Ordering::SeqCst)))
    }

    fn remaining(&self) -> Option<Duration> {
        self.get().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn has_passed(&self) -> bool {
        self.get().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits for the deadline as it is now; never returns without one.
    async fn passed(&self) {
        match self.get() {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

fn deadline_passed() -> Error {
    Error::new(
        ErrorKind::SessionLost,
        "no renewal of the session succeeded before its deadline; check the network, or connect with a longer TTL",
    )
}
