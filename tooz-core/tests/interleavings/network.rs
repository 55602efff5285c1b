//! A driver whose requests are tasks of the scheduler. They go to a memory server whose clock runs five percent fast.

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

use super::simulation::{Coverage, Request, Simulation};

pub(crate) const DRIVER: DriverEntry = DriverEntry { name: "interleaved", schemes: &["interleaved"], open };

thread_local! {
    /// The simulation of this thread. All tasks of a schedule run on one thread.
    static SIMULATION: RefCell<Option<Arc<Simulation>>> = const { RefCell::new(None) };
}

/// Makes new coordinators connect to `simulation`.
pub(crate) fn connect_to(simulation: Option<Arc<Simulation>>) {
    SIMULATION.set(simulation);
}

/// Runs each request as a task of its own.
pub(crate) async fn deliver(mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(request) = requests.recv().await {
        drop(shuttle::future::spawn(request));
    }
}

fn open(_: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    let simulation = SIMULATION.with_borrow(Clone::clone).expect("the schedule has set its simulation");
    let inner = Registry::default().driver(&format!("memory://{}", simulation.name).parse()?)?;
    Ok(Arc::new(SimulatedDriver { simulation, inner }))
}

#[derive(Debug)]
struct SimulatedDriver {
    simulation: Arc<Simulation>,
    inner: Arc<dyn Driver>,
}

#[async_trait]
impl Driver for SimulatedDriver {
    fn info(&self) -> DriverInfo {
        self.inner.info()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let member = String::from_utf8_lossy(options.member.as_bytes()).into_owned();
        self.simulation.check_is_used(&member, "core opens a session");
        let (inner, ttl, limit) = (self.inner.clone(), options.ttl, options.timeout);
        let mut fast = options.clone();
        fast.ttl = ttl * 19 / 20;
        let inner = send(&self.simulation, limit, async move { inner.open(&fast).await }).await?.into();
        self.simulation.session_opened();
        Ok(Box::new(SimulatedSession {
            simulation: self.simulation.clone(),
            inner,
            member,
            ttl,
            limit,
            closed: AtomicBool::new(false),
        }))
    }
}

#[derive(Debug)]
struct SimulatedSession {
    simulation: Arc<Simulation>,
    inner: Arc<dyn Session>,
    member: String,
    ttl: Duration,
    limit: Duration,
    closed: AtomicBool,
}

impl SimulatedSession {
    async fn send<T, F>(&self, request: impl FnOnce(Arc<dyn Session>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        send(&self.simulation, self.limit, request(self.inner.clone())).await
    }

    /// Waits as long as a message takes to arrive.
    async fn transmit(&self) {
        let (arrived, arrival) = oneshot::channel();
        self.simulation.send(async move { arrived.send(()).unwrap_or_default() });
        let _ = arrival.await;
    }
}

/// Sends a request and waits for the reply. The request arrives and takes effect even if the caller no longer waits.
async fn send<T: Send + 'static>(
    simulation: &Arc<Simulation>,
    limit: Duration,
    request: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (sender, reply) = oneshot::channel();
    simulation.send(async move {
        let outcome = request.await;
        // The reply takes time, too.
        yield_now().await;
        drop(sender.send(outcome));
    });
    match timeout(limit, reply).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => {
            Coverage::count(&simulation.coverage.unanswered);
            Err(Error::new(ErrorKind::Unavailable, "the server did not answer in time"))
        }
    }
}

fn unused<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "no schedule uses this operation"))
}

#[async_trait]
impl Session for SimulatedSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    async fn renew(&self) -> Result<()> {
        self.simulation.check_is_used(&self.member, "core renews the session");
        self.send(|inner| async move { inner.renew().await }).await
    }

    async fn close(&self) -> Result<()> {
        self.simulation.session_closed(&self.member, self.closed.swap(true, Ordering::Relaxed));
        self.send(|inner| async move { inner.close().await }).await
    }

    async fn lost(&self) -> Loss {
        self.inner.lost().await
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let NewEntry { nonce, mode, limit, if_blocked, needs_declared, .. } = entry;
        let (simulation, roster, value) = (self.simulation.clone(), roster.clone(), entry.value.to_vec());
        self.simulation.enter_sent(nonce);
        let request = |inner: Arc<dyn Session>| async move {
            let entry = NewEntry { nonce, key: Key::Nonce, mode, limit, if_blocked, needs_declared, value: &value };
            let standing = inner.enter(&roster, entry).await?;
            if let Standing::Admitted(ticket) = standing {
                simulation.granted(ticket.seq.0);
            }
            Ok(standing)
        };
        self.send(request).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let (roster, ticket) = (roster.clone(), *ticket);
        self.simulation.removal_sent(ticket.nonce, "core leaves");
        let left = self.send(|inner| async move { inner.leave(&roster, &ticket).await }).await;
        if left.is_ok() {
            self.simulation.removal_confirmed(ticket.nonce);
        }
        left
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let roster = roster.clone();
        self.simulation.removal_sent(nonce, "core withdraws");
        let withdrawn = self.send(|inner| async move { inner.withdraw(&roster, nonce).await }).await;
        if withdrawn.is_ok() {
            self.simulation.removal_confirmed(nonce);
        }
        withdrawn
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.transmit().await;
        self.inner.await_turn(roster, ticket).await?;
        self.simulation.granted(ticket.seq.0);
        self.transmit().await;
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

    async fn rosters(&self, _: Kind, _: Option<&Name>, _: usize) -> Result<Vec<Name>> {
        unused()
    }
}
