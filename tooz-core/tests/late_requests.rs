//! A request that was given up may still arrive, when all else is over. What core does about it, shown with a driver that
//! withholds the first `enter` of a session.

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

tooz_core::inventory::submit! { DriverEntry { name: "withholding", schemes: &["withholding"], open } }

fn open(_: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    Ok(Arc::new(Withholding(Registry::default().driver(&"memory://withheld".parse()?)?)))
}

/// The session and the request that has not arrived yet.
type Withheld = (Arc<dyn Session>, Roster, Nonce);

static WITHHELD: Mutex<Option<Withheld>> = Mutex::new(None);

#[tokio::test(start_paused = true)]
async fn an_enter_that_arrives_after_the_release_adds_nothing() {
    let a = Coordinator::builder("withholding://").member("a").connect().await.unwrap();
    let guard = a.lock("l").acquire().await.unwrap();
    let (session, roster, nonce) = WITHHELD.lock().unwrap().take().expect("the first request was withheld");
    assert_eq!(Server::named("withheld").entry_count(), 1);
    guard.release().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let outcome = session.enter(&roster, entry(nonce)).await;
    assert!(outcome.is_err(), "it entered: {outcome:?}");
    assert_eq!(Server::named("withheld").entry_count(), 0);
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
struct Withholding(Arc<dyn Driver>);

#[async_trait]
impl Driver for Withholding {
    fn info(&self) -> DriverInfo {
        self.0.info()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(Link { inner: self.0.open(options).await?.into(), first: Mutex::new(true) }))
    }
}

#[derive(Debug)]
struct Link {
    inner: Arc<dyn Session>,
    first: Mutex<bool>,
}

#[async_trait]
impl Session for Link {
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
        if std::mem::take(&mut *self.first.lock().unwrap()) {
            *WITHHELD.lock().unwrap() = Some((self.inner.clone(), roster.clone(), entry.nonce));
            return Err(Error::new(ErrorKind::Unavailable, "there was no answer in time"));
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
}
