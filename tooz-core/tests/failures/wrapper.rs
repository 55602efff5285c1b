//! A driver that wraps the memory driver. Its server can be emptied, and its requests can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use std::{collections::HashMap, sync::LazyLock, sync::Mutex};

use async_trait::async_trait;
use tooz_core::driver::{
    Driver, DriverEntry, DriverInfo, Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot,
    Standing, Ticket, Topics, Version,
};
use tooz_core::memory::Server;
use tooz_core::{Builder, Coordinator, Error, ErrorKind, Name, Registry, Result, ServiceUrl};

const DRIVER: DriverEntry = DriverEntry { name: "wrapped", schemes: &["wrapped"], open };

static CONTROLS: LazyLock<Mutex<HashMap<String, Arc<Control>>>> = LazyLock::new(Mutex::default);

/// What a test does to the server behind `wrapped://name`.
#[derive(Debug)]
pub(crate) struct Control {
    name: String,
    history: AtomicU64,
    /// How many requests to enter fail from now on.
    failing_enters: AtomicU32,
    /// Whether the reply to the next request to leave is lost.
    loses_leave_reply: AtomicBool,
    /// Whether the next request to enter takes effect, and its reply and the connection are lost for good.
    loses_enter_reply: AtomicBool,
    /// How many sessions of the driver are not dropped.
    sessions: AtomicUsize,
}

impl Control {
    pub(crate) fn named(name: &str) -> Arc<Self> {
        let mut controls = CONTROLS.lock().expect("no test panics while it holds the mutex");
        let new = || {
            let (history, failing_enters, loses_leave_reply, loses_enter_reply, sessions) = Default::default();
            let name = name.to_owned();
            Arc::new(Self { name, history, failing_enters, loses_leave_reply, loses_enter_reply, sessions })
        };
        controls.entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// Options for a coordinator of the server.
    pub(crate) fn builder(&self, member: &str) -> Builder {
        Coordinator::builder(format!("wrapped://{}", self.name)).member(member).registry(Registry::with([DRIVER]))
    }

    /// The server of the present history.
    pub(crate) fn server(&self) -> Server {
        Server::named(&self.server_name())
    }

    /// Empties the server: the sessions of `members` end, and its numbers start again. Returns when they have noticed.
    pub(crate) async fn empty_server(&self, members: &[&str]) {
        let server = self.server();
        self.history.fetch_add(1, Ordering::SeqCst);
        members.iter().for_each(|member| server.expire(member));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// Makes the next `count` requests to enter fail, as if the server did not answer.
    pub(crate) fn fail_enters(&self, count: u32) {
        self.failing_enters.store(count, Ordering::SeqCst);
    }

    /// Makes the next request to leave take effect without a reply. The driver then reports the missing entry, like a
    /// driver that checks its entries after a reconnection.
    pub(crate) fn lose_leave_reply(&self) {
        self.loses_leave_reply.store(true, Ordering::SeqCst);
    }

    /// Makes the next request to enter take effect without a reply. The session is then lost for its client, but lives in
    /// the server until its TTL has passed.
    pub(crate) fn lose_enter_reply(&self) {
        self.loses_enter_reply.store(true, Ordering::SeqCst);
    }

    pub(crate) fn failing_enters(&self) -> u32 {
        self.failing_enters.load(Ordering::SeqCst)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::SeqCst)
    }

    fn server_name(&self) -> String {
        format!("{}-{}", self.name, self.history.load(Ordering::SeqCst))
    }
}

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    Ok(Arc::new(WrappedDriver(Control::named(&url.hosts()[0].name))))
}

#[derive(Debug)]
struct WrappedDriver(Arc<Control>);

#[async_trait]
impl Driver for WrappedDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(DRIVER.name, &[]).with_topics()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let history = self.0.history.load(Ordering::SeqCst);
        let memory = Registry::default().driver(&format!("memory://{}", self.0.server_name()).parse()?)?;
        let inner = memory.open(options).await?;
        self.0.sessions.fetch_add(1, Ordering::SeqCst);
        let cut_off = AtomicBool::default();
        Ok(Box::new(WrappedSession { control: self.0.clone(), inner, history, cut_off }))
    }
}

#[derive(Debug)]
struct WrappedSession {
    control: Arc<Control>,
    inner: Box<dyn Session>,
    history: u64,
    cut_off: AtomicBool,
}

impl WrappedSession {
    fn check(&self) -> Result<()> {
        match self.cut_off.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::SessionLost, "the client was cut off for good")),
            false => Ok(()),
        }
    }
}

impl Drop for WrappedSession {
    fn drop(&mut self) {
        self.control.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Session for WrappedSession {
    fn ttl(&self) -> Option<Duration> {
        self.inner.ttl()
    }

    fn history(&self) -> u64 {
        self.history
    }

    async fn renew(&self) -> Result<()> {
        self.check()?;
        self.inner.renew().await
    }

    async fn close(&self) -> Result<()> {
        self.check()?;
        self.inner.close().await
    }

    async fn lost(&self) -> Loss {
        self.inner.lost().await
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        // As with a server, no request takes effect before the first await.
        tokio::task::yield_now().await;
        let fail = |count: u32| count.checked_sub(1);
        if self.control.failing_enters.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
            return Err(Error::new(ErrorKind::Unavailable, "the server did not answer"));
        }
        if self.control.loses_enter_reply.swap(false, Ordering::SeqCst) {
            self.inner.enter(roster, entry).await?;
            self.cut_off.store(true, Ordering::SeqCst);
        }
        self.check()?;
        self.inner.enter(roster, entry).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        if self.control.loses_leave_reply.swap(false, Ordering::SeqCst) {
            self.inner.evict(roster, ticket.seq).await?;
            return Err(Error::new(ErrorKind::Unavailable, "the server did not answer"));
        }
        self.inner.leave(roster, ticket).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.check()?;
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

    fn topics(&self) -> Option<&dyn Topics> {
        self.inner.topics()
    }
}
