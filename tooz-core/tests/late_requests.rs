//! A request that core has given up may still arrive after the release. Core prevents that it adds an entry.
//!
//! The driver of this test holds back the first `enter` of a session, so that the test can deliver it late.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use tooz_core::driver::{
    Driver, DriverEntry, DriverInfo, IfBlocked, Key, Kind, Loss, Mode, NewEntry, Nonce, Roster, Seq, Session,
    SessionOptions, Snapshot, Standing, Ticket, Version,
};
use tooz_core::memory::Server;
use tooz_core::{Coordinator, Error, ErrorKind, Name, Registry, Result, ServiceUrl};

tooz_core::inventory::submit! { DriverEntry { name: "delaying", schemes: &["delaying"], open } }

fn open(_: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    Ok(Arc::new(DelayingDriver(Registry::default().driver(&"memory://late-requests".parse()?)?)))
}

/// The session and the request that has not arrived yet.
type Delayed = (Arc<dyn Session>, Roster, Nonce);

static DELAYED: Mutex<Option<Delayed>> = Mutex::new(None);

#[tokio::test(start_paused = true)]
async fn an_enter_that_arrives_after_the_release_adds_nothing() {
    let a = Coordinator::builder("delaying://").member("a").connect().await.unwrap();
    let guard = a.lock("l").acquire().await.unwrap();
    let (session, roster, nonce) = DELAYED.lock().unwrap().take().expect("the driver has held back the first request");
    assert_eq!(Server::named("late-requests").entry_count(), 1);
    guard.release().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let outcome = session.enter(&roster, entry(nonce)).await;
    assert!(outcome.is_err(), "the late request added an entry: {outcome:?}");
    assert_eq!(Server::named("late-requests").entry_count(), 0);
    a.close().await;
}

fn entry(nonce: Nonce) -> NewEntry<'static> {
    NewEntry {
        nonce,
        key: Key::Nonce,
        mode: Mode::Exclusive,
        limit: std::num::NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: false,
        value: b"",
    }
}

#[derive(Debug)]
struct DelayingDriver(Arc<dyn Driver>);

#[async_trait]
impl Driver for DelayingDriver {
    fn info(&self) -> DriverInfo {
        self.0.info()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(DelayingSession { inner: self.0.open(options).await?.into(), is_first: Mutex::new(true) }))
    }
}

#[derive(Debug)]
struct DelayingSession {
    inner: Arc<dyn Session>,
    is_first: Mutex<bool>,
}

#[async_trait]
impl Session for DelayingSession {
    fn ttl(&self) -> Option<Duration> {
        self.inner.ttl()
    }

    async fn renew(&self) -> Result<()> {
        self.inner.renew().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    async fn lost(&self) -> Loss {
        self.inner.lost().await
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        if std::mem::take(&mut *self.is_first.lock().unwrap()) {
            *DELAYED.lock().unwrap() = Some((self.inner.clone(), roster.clone(), entry.nonce));
            return Err(Error::new(ErrorKind::Unavailable, "the backend did not answer in time"));
        }
        self.inner.enter(roster, entry).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.inner.leave(roster, ticket).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.inner.withdraw(roster, nonce).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.inner.replace(roster, ticket, value).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.inner.evict(roster, seq).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.inner.snapshot(roster, newer_than).await
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.inner.await_turn(roster, ticket).await
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
}
