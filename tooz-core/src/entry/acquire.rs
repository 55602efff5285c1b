//! Entering a roster and waiting for the admission.
//!
//! - Core draws a nonce and sends `enter`. A repeated `enter` carries the same nonce and finds its own entry.
//! - If the entry is blocked, core waits with `await_turn` until the backend has admitted it.
//! - A failed or dropped acquisition leaves no entry behind: [`PendingEntry`] removes it.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::held::HeldEntry;
use super::pending::PendingEntry;
use crate::coordinator::Coordinator;
use crate::driver::{IfBlocked, Key, Mode, NewEntry, Nonce, Roster, Standing, Ticket};
use crate::session::live::LiveSession;
use crate::{Error, ErrorKind, Result, telemetry};

/// What to enter. Each acquisition has a nonce of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRequest<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) mode: Mode,
    pub(crate) limit: NonZeroU32,
    pub(crate) if_blocked: IfBlocked,
    pub(crate) needs_declared: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> EntryRequest<'a> {
    fn with_nonce(self, nonce: Nonce) -> NewEntry<'a> {
        let Self { key, mode, limit, if_blocked, needs_declared, value } = self;
        NewEntry { nonce, key, mode, limit, if_blocked, needs_declared, value }
    }
}

/// Enters `roster` through the session `live` and waits until the entry is admitted. Returns `None` if the entry is
/// blocked and the request has `IfBlocked::Withdraw`.
///
/// Cancel safe: a future that is dropped at any point leaves no entry behind.
///
/// # Errors
/// `NotHeld` if another client removed the entry, `SessionLost`, `Unavailable`, and the errors of
/// [`enter`](crate::driver::Session::enter).
pub(crate) async fn acquire(
    coordinator: &Coordinator,
    live: Arc<LiveSession>,
    roster: &Arc<Roster>,
    request: EntryRequest<'_>,
) -> Result<Option<HeldEntry>> {
    acquire_as(Nonce::random(), coordinator, live, roster, request).await
}

/// As [`acquire`], with a fresh nonce that the caller has drawn.
pub(crate) async fn acquire_as(
    nonce: Nonce,
    coordinator: &Coordinator,
    live: Arc<LiveSession>,
    roster: &Arc<Roster>,
    request: EntryRequest<'_>,
) -> Result<Option<HeldEntry>> {
    let started = Instant::now();
    let outcome = enter(nonce, coordinator, live, roster, request).await;
    telemetry::acquisition(coordinator.driver_name(), roster, &outcome, started.elapsed());
    match &outcome {
        Ok(Some(_)) => {}
        Ok(None) => debug!("blocked"),
        Err(error) => debug!(%error, "failed"),
    }
    outcome
}

async fn enter(
    nonce: Nonce,
    coordinator: &Coordinator,
    live: Arc<LiveSession>,
    roster: &Arc<Roster>,
    request: EntryRequest<'_>,
) -> Result<Option<HeldEntry>> {
    let evicted = live.watch_eviction(nonce);
    let mut pending = PendingEntry::new(live.clone(), roster.clone(), nonce);
    let entry = request.with_nonce(nonce);
    let outcome = live.call_tracked(|session| session.enter(roster, entry)).await;
    pending.repeated = outcome.repeated;
    let ticket = match outcome.result {
        Ok(Standing::Admitted(ticket)) => ticket,
        Ok(Standing::Waiting { ticket, blocked_by }) => {
            debug!(seq = ticket.seq.0, blocked_by = blocked_by.0, "waiting");
            pending.ticket = Some(ticket);
            await_turn(&live, roster, &ticket, &evicted).await?;
            ticket
        }
        Ok(Standing::Withdrawn { .. }) => {
            pending.set_removed();
            return Ok(None);
        }
        Err(error) => {
            // After any other error the driver has added nothing; after this one the outcome is unknown.
            if !error.is_retryable() {
                pending.set_removed();
            }
            return Err(error);
        }
    };
    HeldEntry::new(coordinator.clone(), pending, ticket, evicted).map(Some)
}

async fn await_turn(live: &LiveSession, roster: &Roster, ticket: &Ticket, evicted: &CancellationToken) -> Result<()> {
    tokio::select! {
        biased;
        admitted = live.wait(|session| session.await_turn(roster, ticket)) => admitted,
        () = evicted.cancelled() => {
            Err(Error::new(ErrorKind::NotHeld, "another client removed the entry from the queue"))
        }
    }
}
