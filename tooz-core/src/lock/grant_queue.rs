//! The operations that locks, semaphores and elections share: each is a roster whose entries are granted in order.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::timeout;

use super::guard::Guard;
use super::owner::Owner;
use super::queue::{Participant, Queue};
use super::queue_watch::QueueWatch;
use crate::coordinator::{Coordinator, RosterTarget};
use crate::driver::{IfBlocked, Key, Mode, Seq};
use crate::entry::{EntryRequest, acquire};
use crate::{Error, ErrorKind, Name, Result};

/// A roster in which at most `limit` conflicting entries of clients are granted at a time. The driver module describes
/// the rule under [`admission`](crate::driver::admission).
#[derive(Clone, Debug)]
pub(crate) struct GrantQueue {
    target: RosterTarget,
    mode: Mode,
    limit: u32,
    info: Vec<u8>,
    greatest_hold: Option<Duration>,
}

impl GrantQueue {
    pub(crate) fn new(target: RosterTarget, mode: Mode, limit: u32) -> Self {
        Self { target, mode, limit, info: Vec::new(), greatest_hold: None }
    }

    /// The same queue, entered in another mode.
    pub(crate) fn with_mode(&self, mode: Mode) -> Self {
        Self { mode, ..self.clone() }
    }

    /// The same queue; the entries of this client show `info` to others.
    pub(crate) fn with_info(&self, info: &[u8]) -> Self {
        Self { info: info.to_vec(), ..self.clone() }
    }

    /// The same queue; this client holds a grant for `time` at most.
    pub(crate) fn with_greatest_hold(&self, time: Duration) -> Self {
        Self { greatest_hold: Some(time), ..self.clone() }
    }

    pub(super) fn coordinator(&self) -> &Coordinator {
        self.target.coordinator()
    }

    pub(super) fn name(&self) -> Result<&Name> {
        self.target.roster().map(|roster| &roster.name)
    }

    /// Waits for a grant.
    pub(crate) async fn wait(&self, operation: &'static str) -> Result<Guard> {
        let wait = async {
            let guard = self.enter(IfBlocked::Wait).await?;
            guard.ok_or_else(|| Error::new(ErrorKind::Unexpected, "the driver withdrew an entry that was to wait"))
        };
        self.target.run(operation, wait).await
    }

    /// Waits for a grant, at most for `limit`. A limit of zero means one attempt, which may take the time of a request.
    pub(crate) async fn wait_at_most(&self, operation: &'static str, limit: Duration) -> Result<Guard> {
        let outcome = if limit.is_zero() {
            self.try_enter(operation).await.transpose()
        } else {
            timeout(limit, self.wait(operation)).await.ok()
        };
        match outcome {
            Some(outcome) => outcome,
            None => {
                let error = Error::new(ErrorKind::Timeout, format!("it was not granted within {limit:?}"));
                self.target.run(operation, async { Err(error) }).await
            }
        }
    }

    /// Returns a grant if nothing blocks it at this moment.
    pub(crate) async fn try_enter(&self, operation: &'static str) -> Result<Option<Guard>> {
        self.target.run(operation, self.enter(IfBlocked::Withdraw)).await
    }

    /// Reads the holders and the waiters.
    pub(crate) async fn inspect(&self) -> Result<Queue> {
        self.target.run("inspect", self.read()).await
    }

    /// Follows the holders and the waiters.
    pub(crate) fn watch(&self) -> QueueWatch {
        QueueWatch::new(self.target.clone())
    }

    /// Removes the entries of all holders and returns them.
    pub(crate) async fn evict_holders(&self, operation: &'static str) -> Result<Vec<Participant>> {
        let evict = async {
            let (roster, live) = self.target.open().await?;
            let mut evicted = Vec::new();
            for holder in self.read().await?.holders {
                let seq = Seq(holder.token.0);
                if live.call_tracked(|session| session.evict(roster, seq)).await.took_effect()? {
                    evicted.push(holder);
                }
            }
            Ok(evicted)
        };
        self.target.run(operation, evict).await
    }

    async fn enter(&self, if_blocked: IfBlocked) -> Result<Option<Guard>> {
        let limit = NonZeroU32::new(self.limit).ok_or_else(no_permits)?;
        if self.greatest_hold.is_some_and(|hold| hold.is_zero()) {
            return Err(Error::new(ErrorKind::InvalidOption, "the greatest hold time is zero; give it a longer one"));
        }
        let coordinator = self.target.coordinator();
        let (roster, live) = self.target.open().await?;
        let value = Owner::encode_now(coordinator.supervisor().options(), &self.info)?;
        let key = Key::Nonce;
        let request = EntryRequest { key, mode: self.mode, limit, if_blocked, needs_declared: false, value: &value };
        let held = acquire(coordinator, live, roster, request).await?;
        Ok(held.map(|entry| match self.greatest_hold {
            Some(hold) => Guard::new(entry.with_greatest_hold(hold)),
            None => Guard::new(entry),
        }))
    }

    async fn read(&self) -> Result<Queue> {
        let (roster, live) = self.target.open().await?;
        Queue::read(&live.call(|session| session.snapshot(roster, None)).await?.entries)
    }
}

fn no_permits() -> Error {
    Error::new(ErrorKind::InvalidOption, "a semaphore without permits grants nothing; give it at least one")
}
