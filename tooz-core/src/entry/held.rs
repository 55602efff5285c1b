//! Holding an entry that was admitted: its loss, its verification and its release.
//!
//! An entry is held until it is released, another client removes it, its greatest hold time has passed, or its session is
//! lost. `session/liveness.rs` decides the last.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::hold_limit::HoldLimit;
use super::pending::PendingEntry;
use crate::coordinator::Coordinator;
use crate::driver::{Roster, Ticket};
use crate::{Error, ErrorKind, Result, telemetry};

/// An entry that was admitted. Dropping it removes it in the background.
#[derive(Debug)]
pub(crate) struct HeldEntry {
    coordinator: Coordinator,
    entry: PendingEntry,
    ticket: Ticket,
    evicted: CancellationToken,
    limit: Option<HoldLimit>,
    /// Cancelled when the release begins.
    released: CancellationToken,
    _hold: telemetry::Hold,
}

impl HeldEntry {
    /// Takes over an entry that the backend has admitted.
    ///
    /// # Errors
    /// The cause if the entry was lost meanwhile.
    pub(crate) fn new(
        coordinator: Coordinator,
        mut entry: PendingEntry,
        ticket: Ticket,
        evicted: CancellationToken,
    ) -> Result<Self> {
        entry.ticket = Some(ticket);
        let (driver, member) = (coordinator.driver_name(), coordinator.member());
        let hold = telemetry::Hold::start(driver, member, &entry.roster, ticket.seq);
        let (limit, released) = (None, CancellationToken::new());
        let held = Self { coordinator, entry, ticket, evicted, limit, released, _hold: hold };
        if held.is_held() { Ok(held) } else { Err(held.cause()) }
    }

    /// The same, lost and removed after `hold` at the latest.
    pub(crate) fn with_greatest_hold(mut self, hold: Duration) -> Self {
        self.limit = Some(HoldLimit::start(hold, &self.entry.live, &self.entry.roster, self.ticket));
        self
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.entry.roster
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The history of the server to which the entry belongs.
    pub(crate) fn history(&self) -> u64 {
        self.entry.live.session().history()
    }

    /// Whether the client may rely on the entry. Compares the clock with the deadline; sends nothing.
    pub(crate) fn is_held(&self) -> bool {
        !self.is_evicted() && !self.is_past_limit() && !self.released.is_cancelled() && self.entry.live.is_alive()
    }

    /// Whether the backend has reported that another client removed the entry.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }

    /// Waits until the backend has reported that another client removed the entry.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// For how long the entry stays held without a further renewal: zero if it is lost, `None` if time does not matter.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        if !self.is_held() {
            return Some(Duration::ZERO);
        }
        let limit = self.limit.as_ref().map(HoldLimit::remaining);
        self.entry.live.remaining().into_iter().chain(limit).min()
    }

    /// Waits until the entry is lost and returns the cause. Cancel safe.
    pub(crate) async fn lost(&self) -> Error {
        tokio::select! {
            biased;
            () = self.evicted.cancelled() => self.cause(),
            () = self.released.cancelled() => self.cause(),
            () = self.limit_passed() => self.cause(),
            cause = self.entry.live.lost() => self.in_context(cause),
        }
    }

    async fn limit_passed(&self) {
        match &self.limit {
            Some(limit) => limit.passed().await,
            None => std::future::pending().await,
        }
    }

    fn is_past_limit(&self) -> bool {
        self.limit.as_ref().is_some_and(HoldLimit::has_passed)
    }

    /// Runs `work` to its end, or drops it as soon as the entry is lost.
    pub(crate) async fn run<F: Future>(&self, work: F) -> Result<F::Output> {
        tokio::select! {
            biased;
            cause = self.lost() => Err(cause),
            output = work => Ok(output),
        }
    }

    /// Asks the backend whether it still has the entry.
    pub(crate) async fn verify(&self) -> Result<()> {
        let outcome = self.entry.live.call(|session| session.await_turn(&self.entry.roster, &self.ticket)).await;
        self.record_eviction(&outcome);
        outcome.map_err(|error| self.in_context(error))
    }

    /// Replaces the value of the entry.
    pub(crate) async fn replace(&self, value: &[u8]) -> Result<()> {
        let outcome = self.entry.live.call(|session| session.replace(&self.entry.roster, &self.ticket, value)).await;
        self.record_eviction(&outcome);
        outcome.map_err(|error| self.in_context(error))
    }

    /// Removes the entry. Cancel safe: if the future is dropped, the reaper removes the entry.
    ///
    /// If a repeated request finds no entry, an earlier request has removed it, and the reply was lost. This counts as a
    /// release if the entry was held when the first request was sent. An eviction that is reported in between may be
    /// this release: a driver that checks its entries after a reconnection finds the entry missing.
    pub(crate) async fn release(&self) -> Result<()> {
        let (was_held, past_limit) = (self.is_held(), self.is_past_limit());
        let cause = (!was_held).then(|| self.cause());
        self.released.cancel();
        let outcome = self.entry.live.call_tracked(|session| session.leave(&self.entry.roster, &self.ticket)).await;
        let repeated = outcome.repeated;
        let removed = outcome.result.map_err(|error| self.in_context(error))?;
        self.entry.set_removed();
        if !past_limit && (removed || (repeated && was_held && self.entry.live.is_alive())) {
            telemetry::released(&self.entry.roster, self.ticket.seq);
            return Ok(());
        }
        Err(cause.unwrap_or_else(|| self.in_context(self.entry.live.loss().unwrap_or_else(evicted))))
    }

    /// Records an eviction if the outcome says that the backend no longer has the entry.
    fn record_eviction(&self, outcome: &Result<()>) {
        if outcome.as_ref().is_err_and(Error::is_not_held) && !self.entry.live.record_eviction(self.entry.nonce) {
            self.evicted.cancel();
        }
    }

    /// Why the entry is not held. Meaningful once it is not.
    fn cause(&self) -> Error {
        let loss = if self.is_evicted() { Some(evicted()) } else { self.entry.live.loss() };
        let limit = || self.limit.as_ref().filter(|limit| limit.has_passed()).map(HoldLimit::error);
        let cause = loss.or_else(limit).unwrap_or_else(released);
        info!(roster = %self.entry.roster, fencing_token = self.ticket.seq.0, %cause, "lost");
        self.in_context(cause)
    }

    fn in_context(&self, error: Error) -> Error {
        error.with_context(self.entry.roster.kind.as_str(), &self.entry.roster.name)
    }
}

fn evicted() -> Error {
    Error::new(ErrorKind::NotHeld, "another client removed the entry")
}

fn released() -> Error {
    Error::new(ErrorKind::NotHeld, "it was released")
}
