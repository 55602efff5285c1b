//! A driver whose requests travel as tasks of the scheduler to a server in memory, whose clock is five percent fast.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shuttle::future::yield_now;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tooz_core::driver::{
    Driver, DriverEntry, DriverInfo, Key, Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot,
    Standing, Ticket, Version,
};
use tooz_core::{Error, ErrorKind, Name, Registry, Result, ServiceUrl};

use super::world::{Request, Tally, World};

pub(crate) const DRIVER: DriverEntry = DriverEntry { name: "interleaved", schemes: &["interleaved"], open };

thread_local! {
    /// Every task of a schedule runs on one thread.
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// Makes `world` the one that new coordinators connect to.
pub(crate) fn enter(world: Option<Arc<World>>) {
    WORLD.set(world);
}

/// Sets each request on its way.
pub(crate) async fn carry(mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(request) = requests.recv().await {
        drop(shuttle::future::spawn(request));
    }
}

fn open(_: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    let world = WORLD.with_borrow(Clone::clone).expect("a schedule has entered its world");
    let inner = Registry::default().driver(&format!("memory://{}", world.name).parse()?)?;
    Ok(Arc::new(Network { world, inner }))
}

#[derive(Debug)]
struct Network {
    world: Arc<World>,
    inner: Arc<dyn Driver>,
}

#[async_trait]
impl Driver for Network {
    fn info(&self) -> DriverInfo {
        self.inner.info()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let member = String::from_utf8_lossy(options.member.as_bytes()).into_owned();
        self.world.keeps_alive(&member, "a session is opened");
        let (inner, ttl, limit) = (self.inner.clone(), options.ttl, options.timeout);
        let mut fast = options.clone();
        fast.ttl = ttl * 19 / 20;
        let inner = send(&self.world, limit, async move { inner.open(&fast).await }).await?.into();
        self.world.opened();
        Ok(Box::new(Link { world: self.world.clone(), inner, member, ttl, limit, closed: AtomicBool::new(false) }))
    }
}

#[derive(Debug)]
struct Link {
    world: Arc<World>,
    inner: Arc<dyn Session>,
    member: String,
    ttl: Duration,
    limit: Duration,
    closed: AtomicBool,
}

impl Link {
    async fn send<T, F>(&self, request: impl FnOnce(Arc<dyn Session>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        send(&self.world, self.limit, request(self.inner.clone())).await
    }

    /// The time that something takes to arrive.
    async fn travel(&self) {
        let (arrived, arrival) = oneshot::channel();
        self.world.post(async move { arrived.send(()).unwrap_or_default() });
        let _ = arrival.await;
    }
}

/// Sends a request and waits for the answer. The request arrives, and is carried out, also when nobody waits any more.
async fn send<T: Send + 'static>(
    world: &Arc<World>,
    limit: Duration,
    request: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (reply, answer) = oneshot::channel();
    world.post(async move {
        let outcome = request.await;
        // The answer takes its time, too.
        yield_now().await;
        drop(reply.send(outcome));
    });
    match timeout(limit, answer).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => {
            Tally::count(&world.tally.unanswered);
            Err(Error::new(ErrorKind::Unavailable, "there was no answer in time"))
        }
    }
}

fn unused<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "no schedule needs it"))
}

#[async_trait]
impl Session for Link {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    async fn renew(&self) -> Result<()> {
        self.world.keeps_alive(&self.member, "a renewal");
        self.send(|inner| async move { inner.renew().await }).await
    }

    async fn close(&self) -> Result<()> {
        self.world.closed(&self.member, self.closed.swap(true, Ordering::Relaxed));
        self.send(|inner| async move { inner.close().await }).await
    }

    async fn lost(&self) -> Loss {
        self.inner.lost().await
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let NewEntry { nonce, mode, limit, if_blocked, needs_declared, .. } = entry;
        let (world, roster, value) = (self.world.clone(), roster.clone(), entry.value.to_vec());
        self.world.enters(nonce);
        let request = |inner: Arc<dyn Session>| async move {
            let entry = NewEntry { nonce, key: Key::Nonce, mode, limit, if_blocked, needs_declared, value: &value };
            let standing = inner.enter(&roster, entry).await?;
            if let Standing::Admitted(ticket) = standing {
                world.granted(ticket.seq.0);
            }
            Ok(standing)
        };
        self.send(request).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let (roster, ticket) = (roster.clone(), *ticket);
        self.world.removes(ticket.nonce, "a release");
        let left = self.send(|inner| async move { inner.leave(&roster, &ticket).await }).await;
        if left.is_ok() {
            self.world.removed(ticket.nonce);
        }
        left
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let roster = roster.clone();
        self.world.removes(nonce, "a withdrawal");
        let withdrawn = self.send(|inner| async move { inner.withdraw(&roster, nonce).await }).await;
        if withdrawn.is_ok() {
            self.world.removed(nonce);
        }
        withdrawn
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.travel().await;
        self.inner.await_turn(roster, ticket).await?;
        self.world.granted(ticket.seq.0);
        self.travel().await;
        Ok(())
    }

    async fn replace(&self, _: &Roster, _: &Ticket, _: &[u8]) -> Result<()> {
        unused()
    }

    async fn evict(&self, _: &Roster, _: Seq) -> Result<bool> {
        unused()
    }

    async fn snapshot(&self, _: &Roster, _: Option<Version>) -> Result<Snapshot> {
        unused()
    }

    async fn declare(&self, _: &Roster) -> Result<bool> {
        unused()
    }

    async fn retract(&self, _: &Roster) -> Result<()> {
        unused()
    }

    async fn declared(&self, _: Kind) -> Result<Vec<Name>> {
        unused()
    }
}
