//! The driver and its sessions: each request is one critical section of the server's mutex.

use std::convert::Infallible;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::roster::{RosterState, SessionId};
use super::server::{Namespace, Server, ServerState};
use super::topics::Log;
use crate::driver::support::{session_lost, withdrawn};
use crate::driver::{
    Bounds, Driver, DriverEntry, DriverInfo, Follow, Kind, Loss, Message, NewEntry, NewName, Nonce, Offset, Roster,
    Seq, Session, SessionOptions, Snapshot, Standing, Ticket, Topics, Update, Version,
};
use crate::{Characteristic, Error, ErrorKind, Name, Result, ServiceUrl};

/// The driver of `memory://name`.
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
        ([host], "" | "/") if host.port.is_none() => Ok(Arc::new(MemoryDriver { server: Server::named(&host.name) })),
        _ => Err(Error::new(ErrorKind::InvalidUrl, "a memory URL is memory://name, with one name and nothing else")),
    }
}

#[derive(Debug)]
struct MemoryDriver {
    server: Server,
}

#[async_trait]
impl Driver for MemoryDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(DRIVER.name, CHARACTERISTICS).with_topics()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let (server, options) = (self.server.clone(), options.clone());
        let (id, history) = {
            let mut state = server.request(&options.member, options.timeout).await?;
            (state.open(options.clone()), state.history())
        };
        Ok(Box::new(MemorySession { server, id, history, options }))
    }
}

#[derive(Debug)]
struct MemorySession {
    server: Server,
    id: SessionId,
    history: u64,
    options: SessionOptions,
}

impl MemorySession {
    async fn request(&self) -> Result<MutexGuard<'_, ServerState>> {
        self.server.request(&self.options.member, self.options.timeout).await
    }

    async fn change<T>(&self, roster: &Roster, change: impl FnOnce(&mut RosterState, u64) -> T + Send) -> Result<T> {
        self.request().await?.change(self.id, roster, change)
    }
}

#[async_trait]
impl Session for MemorySession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.options.ttl)
    }

    fn history(&self) -> u64 {
        self.history
    }

    async fn renew(&self) -> Result<()> {
        self.request().await?.renew(self.id)
    }

    async fn close(&self) -> Result<()> {
        self.request().await?.end(self.id);
        Ok(())
    }

    async fn lost(&self) -> Loss {
        loop {
            let loss = match self.server.reach(&self.options.member).await.session(self.id) {
                Err(_) => return Loss::Session(session_lost()),
                Ok(session) => match session.evictions.pop_front() {
                    Some(nonce) => return Loss::Entry(nonce),
                    None => session.loss.clone().notified_owned(),
                },
            };
            self.server.wait(loss).await;
        }
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let mut state = self.request().await?;
        if state.session(self.id)?.tombstones.contains(entry.nonce) {
            return Err(withdrawn());
        }
        state.change(self.id, roster, |roster, revision| roster.enter(self.id, &entry, revision))?
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let leave = |roster: &mut RosterState, revision| {
            roster.owns(self.id, ticket.nonce) && !roster.remove(revision, |entry| entry.matches(ticket)).is_empty()
        };
        self.change(roster, leave).await
    }

    /// An `enter` takes effect inside the poll that acquires the mutex, so a dropped one never arrives late. The
    /// tombstone is for an `enter` that another task still polls.
    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let mut state = self.request().await?;
        state.session(self.id)?.tombstones.insert(nonce);
        state.change(self.id, roster, |roster, revision| {
            if roster.owns(self.id, nonce) {
                roster.remove(revision, |entry| entry.nonce == nonce);
            }
        })
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.change(roster, |roster, revision| roster.replace(self.id, ticket, value, revision)).await?
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.change(roster, |roster, revision| roster.evict(seq, revision)).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        loop {
            let next_change = {
                let mut state = self.request().await?;
                let rosters = &mut state.namespace(self.id)?.rosters;
                let snapshot = rosters.get(roster).map(RosterState::snapshot).unwrap_or_default();
                if newer_than != Some(snapshot.version) {
                    return Ok(snapshot);
                }
                rosters.entry(roster.clone()).or_default().next_change()
            };
            self.server.wait(next_change).await;
        }
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(MemoryFollower { session: self, roster, seen: None })
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        while let Some(turn) = self.change(roster, |roster, _| roster.turn(ticket)).await?? {
            self.server.wait(turn).await;
        }
        Ok(())
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        self.change(roster, RosterState::declare).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        self.change(roster, RosterState::retract).await?
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        let mut state = self.request().await?;
        let rosters = &state.namespace(self.id)?.rosters;
        let declared = rosters.iter().filter(|(roster, state)| roster.kind == kind && state.declared);
        Ok(declared.map(|(roster, _)| roster.name.clone()).collect())
    }

    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let mut state = self.request().await?;
        let rosters = &state.namespace(self.id)?.rosters;
        let used = rosters.iter().filter(|(roster, state)| roster.kind == kind && !state.entries.is_empty());
        Ok(page(used.map(|(roster, _)| &roster.name), after, limit))
    }

    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        let mut seen = None;
        loop {
            let (names, next_name) = self.request().await?.namespace(self.id)?.new_names.watch(&mut seen);
            names.into_iter().for_each(added);
            self.server.wait(next_name).await;
        }
    }

    fn server(&self) -> Option<String> {
        Some("the memory of this process".to_owned())
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}

/// Follows a roster by the changes that the server keeps.
struct MemoryFollower<'a> {
    session: &'a MemorySession,
    roster: &'a Roster,
    /// The version after the last update.
    seen: Option<Version>,
}

#[async_trait]
impl Follow for MemoryFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        loop {
            let next_change = {
                let mut state = self.session.request().await?;
                let roster = state.namespace(self.session.id)?.rosters.entry(self.roster.clone()).or_default();
                if let Some(update) = roster.update(self.seen) {
                    self.seen = Some(roster.version);
                    return Ok(update);
                }
                roster.next_change()
            };
            self.session.server.wait(next_change).await;
        }
    }
}

#[async_trait]
impl Topics for MemorySession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let mut state = self.request().await?;
        let Namespace { logs, new_names, .. } = state.namespace(self.id)?;
        let offset = logs.entry(topic.clone()).or_default().publish(payload, keep)?;
        if offset == Offset(1) {
            new_names.add(NewName::Topic(topic.clone()));
        }
        Ok(offset)
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        loop {
            let next_message = {
                let mut state = self.request().await?;
                let log = state.namespace(self.id)?.logs.entry(topic.clone()).or_default();
                let batch = log.read(after, limit)?;
                if !batch.is_empty() {
                    return Ok(batch);
                }
                log.next_message()
            };
            self.server.wait(next_message).await;
        }
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let mut state = self.request().await?;
        let logs = &state.namespace(self.id)?.logs;
        let written = logs.iter().filter(|(_, log)| log.bounds().newest > Offset(0));
        Ok(page(written.map(|(name, _)| name), after, limit))
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let mut state = self.request().await?;
        Ok(state.namespace(self.id)?.logs.get(topic).map(Log::bounds).unwrap_or_default())
    }
}

/// At most `limit` of the names, which are in ascending order: the first ones, or those that follow `after`.
fn page<'a>(names: impl Iterator<Item = &'a Name>, after: Option<&Name>, limit: usize) -> Vec<Name> {
    names.filter(|name| after.is_none_or(|after| *name > after)).take(limit.max(1)).cloned().collect()
}
