//! The greatest time for which an entry may be held.
//!
//! The client enforces it: when the time has passed, the entry is lost, and a task of the session removes it, whatever
//! the holder does. If the client dies or stalls, the backend removes the entry with the session, after its TTL.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use crate::driver::{Roster, Ticket};
use crate::session::live::LiveSession;
use crate::session::reaper::Removal;
use crate::time::{Moment, sleep_until};
use crate::{Error, ErrorKind};

/// How often the task checks whether the host was suspended meanwhile.
const SUSPEND_CHECK: Duration = Duration::from_secs(1);

/// The end of the hold time. The task that waits for it ends when this is dropped.
#[derive(Debug)]
pub(super) struct HoldLimit {
    hold: Duration,
    end: Moment,
    _task: DropGuard,
}

impl HoldLimit {
    /// Limits an entry that was admitted just now.
    pub(super) fn start(hold: Duration, live: &Arc<LiveSession>, roster: &Arc<Roster>, ticket: Ticket) -> Self {
        let (end, released) = (Moment::now() + hold, CancellationToken::new());
        // A weak reference, so that the task does not keep the session of a coordinator that was dropped.
        let (session, roster, token) = (Arc::downgrade(live), roster.clone(), released.clone());
        live.spawn(async move {
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                () = sleep_until(end, SUSPEND_CHECK) => {}
            }
            if let Some(live) = session.upgrade() {
                info!(%roster, fencing_token = ticket.seq.0, ?hold, "released after the greatest hold time");
                live.remove_later(Removal::Leave(roster, ticket));
            }
        });
        Self { hold, end, _task: released.drop_guard() }
    }

    pub(super) fn has_passed(&self) -> bool {
        self.end.has_passed()
    }

    pub(super) fn remaining(&self) -> Duration {
        self.end.remaining()
    }

    /// Waits for the end.
    pub(super) async fn passed(&self) {
        sleep_until(self.end, SUSPEND_CHECK).await;
    }

    pub(super) fn error(&self) -> Error {
        Error::new(ErrorKind::NotHeld, format!("it was held for its greatest hold time of {:?}", self.hold))
    }
}
