//! The driver and its sessions: each verb is one critical section.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};

use super::line::Turn;
use super::server::{Server, SessionId, State, session_lost};
use crate::driver::{
    Driver, DriverEntry, DriverInfo, Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot,
    Standing, Ticket, Topics, Version,
};
use crate::{Characteristic, Error, ErrorKind, Name, Result, ServiceUrl};

/// `memory://name`
pub const DRIVER: DriverEntry = DriverEntry { name: "memory", schemes: &["memory"], open };

inventory::submit! { DRIVER }

const CHARACTERISTICS: &[Characteristic] = &[
    Characteristic::DistributedAcrossThreads,
    Characteristic::Linearizable,
    Characteristic::Sequential,
    Characteristic::Causal,
    Characteristic::Serializable,
    Characteristic::SameViewUnderPartitions,
    Characteristic::SameViewAcrossClients,
];

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    url.options().finish()?;
    match (url.hosts(), url.path()) {
        ([host], "" | "/") if host.port.is_none() => Ok(Arc::new(Memory { server: Server::named(&host.name) })),
        _ => Err(Error::new(ErrorKind::InvalidUrl, "a memory URL is memory://name, with one name and nothing else")),
    }
}

#[derive(Debug)]
struct Memory {
    server: Server,
}

#[async_trait]
impl Driver for Memory {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(DRIVER.name, CHARACTERISTICS).with_topics()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let SessionOptions { namespace, member, ttl, timeout } = options.clone();
        let server = self.server.clone();
        let (id, losses) = server.request(&member, timeout).await?.open(member.clone(), ttl, namespace.clone());
        let losses = Mutex::new(losses);
        Ok(Box::new(MemorySession { server, id, namespace, member, ttl, timeout, losses }))
    }
}

#[derive(Debug)]
pub(super) struct MemorySession {
    pub(super) server: Server,
    pub(super) id: SessionId,
    pub(super) namespace: String,
    member: Name,
    ttl: Duration,
    timeout: Duration,
    losses: Mutex<mpsc::UnboundedReceiver<Loss>>,
}

impl MemorySession {
    /// The server's state, once it can be reached and knows the session.
    pub(super) async fn request(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.server.request(&self.member, self.timeout).await?;
        state.check(self.id)?;
        Ok(state)
    }
}

#[async_trait]
impl Session for MemorySession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    async fn renew(&self) -> Result<()> {
        self.server.request(&self.member, self.timeout).await?.renew(self.id)
    }

    async fn close(&self) -> Result<()> {
        self.server.request(&self.member, self.timeout).await?.close(self.id);
        Ok(())
    }

    async fn lost(&self) -> Loss {
        let loss = loop {
            let mut losses = self.losses.lock().await;
            let received = tokio::select! {
                biased;
                received = losses.recv() => received,
                // Nobody may touch the server when the TTL ends, so it is looked at then.
                () = self.server.wait(std::future::pending()) => {
                    drop(self.server.state());
                    continue;
                }
            };
            break received.unwrap_or_else(|| Loss::Session(session_lost()));
        };
        self.server.reach(&self.member).await;
        loss
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let mut state = self.request().await?;
        if state.is_withdrawn(self.id, entry.nonce) {
            return Err(Error::new(ErrorKind::NotHeld, "the entry was withdrawn before it entered"));
        }
        let (line, last_seq) = state.line(&self.namespace, roster);
        let outcome = line.enter(self.id, entry, last_seq);
        if let Ok((_, Some(displaced))) = &outcome {
            state.report(displaced);
        }
        if !matches!(outcome, Ok((Standing::Admitted(_) | Standing::Waiting { .. }, _))) {
            state.tidy(&self.namespace, roster);
        }
        outcome.map(|(standing, _)| standing)
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let mut state = self.request().await?;
        let (line, _) = state.line(&self.namespace, roster);
        let removed = line.find(self.id, ticket).and_then(|seq| line.remove(seq)).is_some();
        state.tidy(&self.namespace, roster);
        Ok(removed)
    }

    /// An `enter` takes effect inside the poll that gets past `request`, so one that was dropped cannot arrive late; the
    /// nonce is remembered for one that is still being polled.
    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let mut state = self.request().await?;
        state.remember_withdrawn(self.id, nonce);
        let (line, _) = state.line(&self.namespace, roster);
        if let Some(seq) = line.find_nonce(self.id, nonce) {
            line.remove(seq);
        }
        state.tidy(&self.namespace, roster);
        Ok(())
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let mut state = self.request().await?;
        let (line, _) = state.line(&self.namespace, roster);
        let found = line.find(self.id, ticket);
        if let Some(seq) = found {
            line.replace(seq, value);
        }
        state.tidy(&self.namespace, roster);
        found.map(|_| ()).ok_or_else(not_held)
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let mut state = self.request().await?;
        let removed = state.line(&self.namespace, roster).0.remove(seq);
        if let Some(removed) = &removed {
            state.report(removed);
        }
        state.tidy(&self.namespace, roster);
        Ok(removed.is_some())
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        loop {
            let mut changes = {
                let mut state = self.request().await?;
                let (line, _) = state.line(&self.namespace, roster);
                let snapshot = line.snapshot();
                if newer_than != Some(snapshot.version) {
                    return Ok(snapshot);
                }
                line.watch()
            };
            self.server.wait(async { changes.changed().await.unwrap_or_default() }).await;
        }
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        loop {
            let turn = {
                let mut state = self.request().await?;
                match state.line(&self.namespace, roster).0.turn(ticket) {
                    Turn::Admitted => return Ok(()),
                    Turn::Gone => return Err(not_held()),
                    // Enabled under the mutex, so that a removal just after it is not missed.
                    Turn::Wait(turn) => turn.notified_owned(),
                }
            };
            self.server.wait(turn).await;
        }
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        let mut state = self.request().await?;
        Ok(state.line(&self.namespace, roster).0.declare(true))
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        let mut state = self.request().await?;
        let (line, _) = state.line(&self.namespace, roster);
        let outcome = match (line.declared, line.is_empty()) {
            (false, _) => Err(Error::new(ErrorKind::GroupNotCreated, "the group does not exist")),
            (true, false) => {
                Err(Error::new(ErrorKind::GroupNotEmpty, "the group still has members; they must leave first"))
            }
            (true, true) => {
                line.declare(false);
                Ok(())
            }
        };
        state.tidy(&self.namespace, roster);
        outcome
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        let mut state = self.request().await?;
        let lines = state.space(&self.namespace).lines.iter();
        let declared = lines.filter(|(roster, line)| roster.kind == kind && line.declared);
        let mut names: Vec<_> = declared.map(|(roster, _)| roster.name.clone()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}

fn not_held() -> Error {
    Error::new(ErrorKind::NotHeld, "the entry does not stand in the roster any more")
}
