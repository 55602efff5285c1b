//! The memory driver with one bug. `buggy://NAME.anything` has the bug of that name, any other name has no bug.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, sleep_until};
use tooz_core::driver::{
    Bounds, Driver, DriverEntry, DriverInfo, IfBlocked, Kind, Loss, Message, NewEntry, Nonce, Offset, Roster, Seq,
    Session, SessionOptions, Snapshot, Standing, Ticket, Topics, Version, admission,
};
use tooz_core::{Error, ErrorKind, Name, Result, ServiceUrl, memory};

use super::bug::Bug;

/// `buggy://NAME.anything`
pub(crate) const DRIVER: DriverEntry = DriverEntry { name: "buggy", schemes: &["buggy"], open };

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    let host = &url.hosts()[0].name;
    let name = host.split('.').next().unwrap_or_default();
    let bug = Bug::ALL.iter().copied().find(|bug| bug.as_str() == name);
    let inner = (memory::DRIVER.open)(&format!("memory://{host}").parse()?)?;
    Ok(Arc::new(Buggy { inner, bug }))
}

#[derive(Debug)]
struct Buggy {
    inner: Arc<dyn Driver>,
    bug: Option<Bug>,
}

#[async_trait]
impl Driver for Buggy {
    fn info(&self) -> DriverInfo {
        self.inner.info()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let reported = options.ttl;
        let mut options = options.clone();
        options.ttl = match self.bug {
            Some(Bug::ExpiresEarly) => reported.mul_f64(0.8),
            Some(Bug::ReportsNoLoss) => reported.mul_f64(0.5),
            Some(Bug::FastClock) => reported.mul_f64(0.95),
            Some(Bug::ExpiresLate) => reported * 4,
            _ => reported,
        };
        let inner: Arc<dyn Session> = self.inner.open(&options).await?.into();
        if self.bug == Some(Bug::NeverCloses) {
            let inner = inner.clone();
            tokio::spawn(async move {
                while inner.renew().await.is_ok() {
                    sleep(reported / 3).await;
                }
            });
        }
        let (calls, random_loss, earlier) = (AtomicU64::new(0), Instant::now() + reported * 2, Default::default());
        Ok(Box::new(BuggySession { inner, bug: self.bug, reported, calls, random_loss, earlier }))
    }
}

#[derive(Debug)]
struct BuggySession {
    inner: Arc<dyn Session>,
    bug: Option<Bug>,
    reported: Duration,
    calls: AtomicU64,
    random_loss: Instant,
    earlier: std::sync::Mutex<Vec<Snapshot>>,
}

impl BuggySession {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether this is one of every `times` calls.
    fn every(&self, times: u64) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) % times == times - 1
    }

    /// The seq that the caller sees.
    fn shown(&self, seq: Seq) -> Seq {
        match self.bug {
            Some(Bug::TokensFall) => Seq(1_000_000 - seq.0),
            Some(Bug::ReusesTokens) => Seq(seq.0 / 2),
            _ => seq,
        }
    }

    async fn real(&self, roster: &Roster, ticket: &Ticket) -> Result<Ticket> {
        if !self.has(Bug::TokensFall) && !self.has(Bug::ReusesTokens) {
            return Ok(*ticket);
        }
        let entries = self.inner.snapshot(roster, None).await?.entries;
        let seq = entries.iter().find(|entry| entry.nonce == ticket.nonce).map_or(ticket.seq, |entry| entry.seq);
        Ok(Ticket { seq, ..*ticket })
    }
}

#[async_trait]
impl Session for BuggySession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.reported)
    }

    fn history(&self) -> u64 {
        if self.has(Bug::HidesItsHistory) { 0 } else { self.inner.history() }
    }

    async fn renew(&self) -> Result<()> {
        match (self.inner.renew().await, self.bug) {
            (Err(error), Some(Bug::ReportsNoLoss | Bug::SkipsTheRecheck | Bug::OutlivesTheServer))
                if error.is_session_lost() =>
            {
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }

    async fn close(&self) -> Result<()> {
        if self.has(Bug::NeverCloses) { Ok(()) } else { self.inner.close().await }
    }

    async fn lost(&self) -> Loss {
        match self.bug {
            // A server without pushes does not report an early expiry at once.
            Some(Bug::ReportsNoLoss | Bug::SkipsTheRecheck | Bug::ExpiresEarly | Bug::OutlivesTheServer) => {
                pending().await
            }
            Some(Bug::LosesAtRandom) => {
                sleep_until(self.random_loss).await;
                Loss::Session(Error::new(ErrorKind::SessionLost, "for no reason"))
            }
            Some(Bug::EvictsSilently) => loop {
                if let loss @ Loss::Session(_) = self.inner.lost().await {
                    return loss;
                }
            },
            _ => self.inner.lost().await,
        }
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let mut standing = self.inner.enter(roster, entry).await?;
        if self.has(Bug::Polls) && entry.if_blocked == IfBlocked::Wait && roster.kind != Kind::Group {
            let mut pause = 0;
            let again = NewEntry { if_blocked: IfBlocked::Withdraw, ..entry };
            if let Standing::Waiting { ticket, .. } = standing {
                self.inner.leave(roster, &ticket).await?;
            }
            while !matches!(standing, Standing::Admitted(_)) {
                pause = (pause * 7 + 3) % 11;
                sleep(Duration::from_millis(pause)).await;
                standing = self.inner.enter(roster, again).await?;
            }
        }
        let shown = |ticket: Ticket| Ticket { seq: self.shown(ticket.seq), ..ticket };
        Ok(match standing {
            Standing::Admitted(ticket) => Standing::Admitted(shown(ticket)),
            Standing::Waiting { ticket, .. } if self.has(Bug::GrantsTwice) => Standing::Admitted(ticket),
            Standing::Waiting { ticket, blocked_by } => {
                Standing::Waiting { ticket: shown(ticket), blocked_by: self.shown(blocked_by) }
            }
            other => other,
        })
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        match self.bug {
            Some(Bug::DeniesRelease) => self.inner.leave(roster, ticket).await.map(|_| false),
            Some(Bug::IgnoresTickets) => match self.inner.snapshot(roster, None).await?.entries.first() {
                Some(first) => self.inner.evict(roster, first.seq).await,
                None => Ok(false),
            },
            Some(Bug::WithdrawsNothing | Bug::NeverCloses) => {
                let entries = self.inner.snapshot(roster, None).await?.entries;
                match admission::blocker_of(&entries, ticket) {
                    Ok(Some(_)) => Ok(true),
                    _ => self.inner.leave(roster, ticket).await,
                }
            }
            _ => self.inner.leave(roster, &self.real(roster, ticket).await?).await,
        }
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        match self.bug {
            Some(Bug::WithdrawsNothing | Bug::NeverCloses) => Ok(()),
            _ => self.inner.withdraw(roster, nonce).await,
        }
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.inner.replace(roster, &self.real(roster, ticket).await?, value).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.inner.evict(roster, seq).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        if newer_than.is_some() && self.has(Bug::FailsToWatch) && self.every(10) {
            return Err(Error::new(ErrorKind::Corrupt, "the snapshot cannot be read"));
        }
        let mut snapshot = self.inner.snapshot(roster, newer_than).await?;
        if self.has(Bug::ChokesOnForeignValues) && snapshot.entries.iter().any(|entry| entry.value == [0xff]) {
            return Err(Error::new(ErrorKind::Corrupt, "a value cannot be read"));
        }
        if newer_than.is_some() && self.has(Bug::LosesEvents) {
            snapshot = self.inner.snapshot(roster, Some(snapshot.version)).await?;
        }
        snapshot.entries.iter_mut().for_each(|entry| entry.seq = self.shown(entry.seq));
        if newer_than.is_some() && self.has(Bug::ReturnsOldSnapshots) {
            let mut earlier = self.earlier.lock().unwrap();
            earlier.push(snapshot.clone());
            if earlier.len() >= 3 && self.every(3) {
                let old = earlier[earlier.len() - 3].clone();
                // With the present version, the watchers of a group keep the old content until the next change.
                let version = if roster.kind == Kind::Group { snapshot.version } else { old.version };
                return Ok(Snapshot { version, ..old });
            }
        }
        Ok(snapshot)
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let ticket = self.real(roster, ticket).await?;
        match self.bug {
            Some(Bug::ForgetsWakeUps) => {
                let entries = self.inner.snapshot(roster, None).await?.entries;
                if admission::blocker_of(&entries, &ticket)?.is_some() { pending().await } else { Ok(()) }
            }
            Some(Bug::SkipsTheRecheck) => match self.inner.await_turn(roster, &ticket).await {
                Err(error) if !error.is_retryable() => Ok(()),
                outcome => outcome,
            },
            _ => self.inner.await_turn(roster, &ticket).await,
        }
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        self.inner.declare(roster).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        self.inner.retract(roster).await
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        self.inner.declared(kind).await
    }

    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.inner.rosters(kind, after, limit).await
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}

#[async_trait]
impl Topics for BuggySession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let topics = self.inner.topics().unwrap();
        if self.has(Bug::RepeatsMessages) && self.every(20) {
            topics.publish(topic, payload, keep).await?;
        }
        topics.publish(topic, payload, keep).await
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let mut messages = self.inner.topics().unwrap().read(topic, after, limit).await?;
        match self.bug {
            Some(Bug::SkipsMessages) if messages.len() > 1 => drop(messages.remove(0)),
            Some(Bug::Renumbers) if after.0 % 10 == 9 => messages.iter_mut().for_each(|message| message.offset.0 += 1),
            _ => {}
        }
        Ok(messages)
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.inner.topics().unwrap().names(after, limit).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        self.inner.topics().unwrap().bounds(topic).await
    }
}
