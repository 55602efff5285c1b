//! Waits with a fault: for the turn of an entry, for changes, and for losses.

use std::future::pending;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tooz_core::driver::support::no_answer;
use tooz_core::driver::{Loss, Roster, Ticket, admission};
use tooz_core::{ErrorKind, Result};

use super::fault::FaultKind as F;
use super::marked::{UNREPORTED, UNWOKEN};
use super::session::BrokenSession;

impl BrokenSession {
    /// A wait, which a fault treats like a request.
    pub(super) async fn waiting<T>(&self, wait: impl Future<Output = Result<T>>) -> Result<T> {
        if self.fault != Some(F::WaitsTimeOut) {
            return wait.await;
        }
        timeout(self.timeout, wait).await.unwrap_or_else(|_| Err(no_answer("the server", self.timeout)))
    }

    pub(super) async fn turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        match self.fault {
            Some(F::GrantsOutOfTurn) => Ok(()),
            Some(F::WatchesOneBlocker) => self.await_one_blocker(roster, ticket).await,
            Some(F::ForgetsWakeUps) if self.is_blocked(roster, ticket).await? => pending().await,
            Some(F::AdmitsTheRemoved) => match self.inner.await_turn(roster, ticket).await {
                Err(error) if error.kind() == ErrorKind::NotHeld => Ok(()),
                outcome => outcome,
            },
            _ => {
                self.inner.await_turn(roster, ticket).await?;
                if UNWOKEN.contains(ticket.nonce) { pending().await } else { Ok(()) }
            }
        }
    }

    pub(super) async fn is_blocked(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let entries = self.inner.snapshot(roster, None).await?.entries;
        Ok(admission::blocker_of(&entries, ticket)?.is_some())
    }

    /// Waits until the entry that blocks at present is gone.
    async fn await_one_blocker(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let mut snapshot = self.inner.snapshot(roster, None).await?;
        let Some(blocker) = admission::blocker_of(&snapshot.entries, ticket)? else { return Ok(()) };
        while snapshot.entries.iter().any(|entry| entry.seq == blocker) {
            snapshot = self.inner.snapshot(roster, Some(snapshot.version)).await?;
        }
        Ok(())
    }

    pub(super) async fn loss(&self) -> Loss {
        loop {
            let loss = self.inner.lost().await;
            match (&loss, self.fault) {
                (Loss::Entry(_), Some(F::EvictsSilently)) => continue,
                (Loss::Entry(nonce), _) if UNREPORTED.contains(*nonce) => continue,
                (Loss::Entry(_), Some(F::ReportsLossesLate)) => self.renewed.notified().await,
                // A caller that gives up meanwhile never receives it.
                (Loss::Entry(_), Some(F::DropsReports)) => sleep(Duration::from_millis(50)).await,
                _ => {}
            }
            return loss;
        }
    }
}
