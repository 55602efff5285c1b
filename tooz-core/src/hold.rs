//! Entering a roster and holding what was entered: shared by locks, semaphores, elections and memberships.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::coordinator::Coordinator;
use crate::driver::{IfBlocked, Key, Mode, NewEntry, Nonce, Roster, Standing, Ticket};
use crate::live::{Job, Live};
use crate::{Error, ErrorKind, Result, telemetry};

/// What to enter, apart from the identity that each attempt gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) mode: Mode,
    pub(crate) limit: NonZeroU32,
    pub(crate) if_blocked: IfBlocked,
    pub(crate) needs_declared: bool,
    pub(crate) value: &'a [u8],
}

/// An entry that stands and is admitted. Dropping it hands the release to the reaper.
#[derive(Debug)]
pub(crate) struct Hold {
    coordinator: Coordinator,
    entry: Pending,
    ticket: Ticket,
    evicted: CancellationToken,
}

/// An entry that may stand. Dropping it makes sure that it does not.
#[derive(Debug)]
struct Pending {
    live: Arc<Live>,
    roster: Arc<Roster>,
    nonce: Nonce,
    ticket: Option<Ticket>,
    /// Whether `enter` was sent more than once: the backend may carry out one of them late, when all else is over.
    repeated: bool,
    wanted: AtomicBool,
}

impl Pending {
    /// Nothing of it stands any more, so dropping it need not remove anything.
    fn settle(&self) {
        self.wanted.store(false, Ordering::SeqCst);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.live.forget(self.nonce);
        match (self.ticket, self.wanted.load(Ordering::SeqCst)) {
            (_, false) if !self.repeated => {}
            (Some(ticket), true) if !self.repeated => self.live.reap(Job::Leave(self.roster.clone(), ticket)),
            _ => self.live.reap(Job::Withdraw(self.roster.clone(), self.nonce)),
        }
    }
}

impl Hold {
    /// Enters `roster` and waits for the turn. `None` if it was blocked and the request says to withdraw then.
    ///
    /// Cancel safe: whatever the moment at which it is dropped, no entry stays behind.
    pub(crate) async fn enter(
        coordinator: &Coordinator,
        live: Arc<Live>,
        roster: &Arc<Roster>,
        request: Request<'_>,
    ) -> Result<Option<Self>> {
        let started = Instant::now();
        let outcome = Self::attempt(coordinator, live, roster, request).await;
        telemetry::acquisition(coordinator.driver_name(), roster, &outcome, started.elapsed());
        match &outcome {
            Ok(Some(hold)) => {
                debug!(fencing_token = hold.ticket.seq.0, waited = ?started.elapsed(), "admitted");
            }
            Ok(None) => debug!("blocked"),
            Err(error) => debug!(%error, "failed"),
        }
        outcome
    }

    async fn attempt(
        coordinator: &Coordinator,
        live: Arc<Live>,
        roster: &Arc<Roster>,
        request: Request<'_>,
    ) -> Result<Option<Self>> {
        let nonce = Nonce::random();
        let evicted = live.hold(nonce);
        let mut pending = Pending {
            live,
            roster: roster.clone(),
            nonce,
            ticket: None,
            repeated: false,
            wanted: AtomicBool::new(true),
        };
        let Request { key, mode, limit, if_blocked, needs_declared, value } = request;
        let entry = NewEntry { nonce, key, mode, limit, if_blocked, needs_declared, value };
        let live = pending.live.clone();
        let patience = Some(coordinator.timeout());
        let mut attempts = 0;
        let enter = || {
            attempts += 1;
            live.session.enter(roster, entry)
        };
        let entered = live.retry(patience, enter).await;
        pending.repeated = attempts > 1;
        let ticket = match entered {
            Ok(Standing::Admitted(ticket)) => ticket,
            Ok(Standing::Waiting { ticket, blocked_by }) => {
                debug!(seq = ticket.seq.0, blocked_by = blocked_by.0, "waiting");
                pending.ticket = Some(ticket);
                tokio::select! {
                    biased;
                    turn = live.retry(None, || live.session.await_turn(roster, &ticket)) => turn?,
                    () = evicted.cancelled() => {
                        return Err(Error::new(ErrorKind::NotHeld, "somebody else has removed the entry from the line"));
                    }
                }
                ticket
            }
            Ok(Standing::Withdrawn { .. }) => {
                pending.settle();
                return Ok(None);
            }
            Err(error) => {
                // Only an outcome that is not known needs a sweep.
                if !error.is_retryable() {
                    pending.settle();
                }
                return Err(error);
            }
        };
        pending.ticket = Some(ticket);
        let hold = Self { coordinator: coordinator.clone(), entry: pending, ticket, evicted };
        if hold.is_held() { Ok(Some(hold)) } else { Err(hold.cause()) }
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

    pub(crate) fn is_held(&self) -> bool {
        !self.evicted.is_cancelled() && self.entry.live.is_alive()
    }

    /// Whether somebody else has removed the entry, as far as we were told.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }

    pub(crate) fn remaining(&self) -> Option<Duration> {
        match (self.is_held(), self.entry.live.deadline()) {
            (false, _) => Some(Duration::ZERO),
            (true, deadline) => deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        }
    }

    /// Waits for the loss of the entry and says why.
    pub(crate) async fn lost(&self) -> Error {
        tokio::select! {
            biased;
            () = self.evicted.cancelled() => self.cause(),
            cause = self.entry.live.lost() => self.in_context(cause),
        }
    }

    /// Runs `work` until it is done or the entry is lost, in which case it is dropped at once.
    pub(crate) async fn run<F: Future>(&self, work: F) -> Result<F::Output> {
        tokio::select! {
            biased;
            cause = self.lost() => Err(cause),
            output = work => Ok(output),
        }
    }

    /// Asks the backend whether the entry still stands.
    pub(crate) async fn verify(&self) -> Result<()> {
        let live = &self.entry.live;
        let patience = Some(self.coordinator.timeout());
        let outcome = live.retry(patience, || live.session.await_turn(&self.entry.roster, &self.ticket)).await;
        self.note(&outcome);
        outcome.map_err(|error| self.in_context(error))
    }

    pub(crate) async fn replace(&self, value: &[u8]) -> Result<()> {
        let live = &self.entry.live;
        let patience = Some(self.coordinator.timeout());
        let outcome = live.retry(patience, || live.session.replace(&self.entry.roster, &self.ticket, value)).await;
        self.note(&outcome);
        outcome.map_err(|error| self.in_context(error))
    }

    /// Removes the entry. Dropped half-way, the reaper finishes it.
    ///
    /// A repeated request that finds nothing after one whose reply was lost counts as ours: nobody else removed the
    /// entry, or we would have been told.
    pub(crate) async fn release(&self) -> Result<()> {
        let live = &self.entry.live;
        let mut attempts = 0;
        let patience = Some(self.coordinator.timeout());
        let leave = || {
            attempts += 1;
            live.session.leave(&self.entry.roster, &self.ticket)
        };
        let removed = live.retry(patience, leave).await.map_err(|error| self.in_context(error))?;
        self.entry.settle();
        if removed || (attempts > 1 && self.is_held()) {
            debug!(roster = %self.entry.roster, fencing_token = self.ticket.seq.0, "released");
            return Ok(());
        }
        Err(self.cause())
    }

    /// Treats the word of the backend that the entry is gone like an eviction.
    fn note(&self, outcome: &Result<()>) {
        if outcome.as_ref().is_err_and(Error::is_not_held) && !self.entry.live.evicted(self.entry.nonce) {
            self.evicted.cancel();
        }
    }

    fn cause(&self) -> Error {
        let cause = match self.entry.live.is_alive() {
            true => Error::new(ErrorKind::NotHeld, "somebody else has removed the entry"),
            false => self.entry.live.cause(),
        };
        info!(roster = %self.entry.roster, fencing_token = self.ticket.seq.0, %cause, "lost");
        self.in_context(cause)
    }

    fn in_context(&self, error: Error) -> Error {
        error.with_context(self.entry.roster.kind.as_str(), &self.entry.roster.name)
    }
}
