//! The one seam to the ZooKeeper client crate: the rest of the driver does not know which crate that is.
//!
//! `client/async_wire.rs` speaks through zookeeper-async, `client/tls_wire.rs` (feature `tls`) through zookeeper-client.
//! What both lack is here: every request is bounded, waits for the connection and fails once the session is over; a
//! watch rings on every reconnection too, since its reader must read again then; and a server that we come back to is
//! not read from before it has caught up with what we saw on another one.

#[cfg(not(feature = "tls"))]
mod async_wire;
mod dial;
mod follows;
mod in_flight;
mod link;
mod probe;
#[cfg(feature = "tls")]
mod secure;
#[cfg(feature = "tls")]
mod tls_wire;
mod watches;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

#[cfg(not(feature = "tls"))]
use self::async_wire::Wire;
use self::in_flight::InFlight;
use self::link::{Link, State};
#[cfg(feature = "tls")]
use self::tls_wire::Wire;
use self::watches::Wants;
pub(crate) use self::watches::{Watch, any_rung};
use crate::config::Config;

/// What a request comes to.
pub(crate) type Answer<T> = Result<T, Fault>;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoNode,
    NodeExists,
    NotEmpty,
    BadVersion,
    /// The access list or the credentials do not allow it.
    Denied,
    /// The one at the other end is not whom we trust, or does not trust us.
    Untrusted(String),
    /// What the URL says cannot be used.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS has options that can be unsound"))]
    Option(String),
    /// The session is over, and why.
    Over(String),
    /// It may or may not have been carried out.
    Away(String),
    Other(String),
}

/// What the driver reads of a znode's stat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stat {
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) version: i32,
    /// Creations and deletions of children.
    pub(crate) cversion: i32,
    pub(crate) children: i32,
    /// The session that an ephemeral znode belongs to.
    pub(crate) owner: i64,
}

/// How a znode is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
}

/// How a session is opened.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) ttl: Duration,
    pub(crate) timeout: Duration,
}

/// The ephemeral znode whose rewriting proves that the session lives and that the server is up to date.
#[derive(Debug)]
struct Heartbeat {
    path: String,
    data: Vec<u8>,
}

/// zookeeper-async deadlocks when its queue of 64 is full while it wants to ping.
const IN_FLIGHT: usize = 48;

/// One ZooKeeper session.
#[derive(Debug)]
pub(crate) struct Client {
    wire: RwLock<Option<Arc<Wire>>>,
    link: Arc<Link>,
    slots: Arc<Semaphore>,
    timeout: Duration,
    negotiated: Duration,
    heartbeat: OnceLock<Arc<Heartbeat>>,
    tender: OnceLock<AbortHandle>,
    /// Held while the session is ended at the server, so that whoever comes second waits for the outcome.
    shut_down: tokio::sync::Mutex<Option<Answer<()>>>,
}

impl Client {
    /// Connects and authenticates. Fails within the timeout, also if nobody answers.
    pub(crate) async fn connect(target: &Target) -> Answer<Arc<Self>> {
        let link = Arc::new(Link::default());
        let connecting = Wire::connect(target, link.clone());
        let (wire, negotiated) = timeout(target.timeout, connecting).await.unwrap_or_else(|_| {
            let hosts = target.config.hosts.join(", ");
            Err(Fault::Away(format!("{hosts} did not answer within {:?}", target.timeout)))
        })?;
        let client = Arc::new(Self {
            wire: RwLock::new(Some(Arc::new(wire))),
            link: link.clone(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
            timeout: target.timeout,
            negotiated,
            heartbeat: OnceLock::new(),
            tender: OnceLock::new(),
            shut_down: tokio::sync::Mutex::default(),
        });
        link.ready();
        let tending = tokio::spawn(tend(Arc::downgrade(&client), link));
        client.tender.get_or_init(|| tending.abort_handle());
        Ok(client)
    }

    /// The session timeout that the server granted.
    pub(crate) fn negotiated(&self) -> Duration {
        self.negotiated
    }

    /// Creates the session's heartbeat and returns the session's id.
    pub(crate) async fn start_heartbeat(&self, path: String, data: Vec<u8>) -> Answer<i64> {
        let (_, stat) = self.create(&path, &data, Make::Ephemeral).await?;
        self.heartbeat.get_or_init(|| Arc::new(Heartbeat { path, data }));
        Ok(stat.owner)
    }

    /// A write that goes through the leader: it proves that the session lives, and reads queued behind it see
    /// everything that was written before.
    pub(crate) async fn touch(&self) -> Answer<()> {
        let (heartbeat, link) = (self.heartbeat.get().cloned(), self.link.clone());
        self.request(move |wire| async move { beat(&wire, heartbeat.as_deref(), &link).await }).await
    }

    pub(crate) async fn create(&self, path: &str, data: &[u8], make: Make) -> Answer<(String, Stat)> {
        let (path, data) = (path.to_owned(), data.to_vec());
        self.request(move |wire| async move { wire.create(&path, &data, make).await }).await
    }

    pub(crate) async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        let path = path.to_owned();
        self.request(move |wire| async move { wire.delete(&path, version).await }).await
    }

    pub(crate) async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        let (path, data) = (path.to_owned(), data.to_vec());
        self.request(move |wire| async move { wire.set_data(&path, &data, version).await }).await
    }

    pub(crate) async fn data(&self, path: &str) -> Answer<(Vec<u8>, Stat)> {
        let path = path.to_owned();
        self.request(move |wire| async move { wire.data(&path, false).await }).await
    }

    pub(crate) async fn exists(&self, path: &str) -> Answer<Option<Stat>> {
        let path = path.to_owned();
        self.request(move |wire| async move { wire.exists(&path, false).await }).await
    }

    pub(crate) async fn children(&self, path: &str) -> Answer<Vec<String>> {
        let path = path.to_owned();
        self.request(move |wire| async move { wire.children(&path, false).await }).await
    }

    /// Reads a znode and rings `bell` when it changes or goes. Leaves no watch behind if there is none.
    pub(crate) async fn data_watched(&self, path: &str, bell: &Arc<Notify>) -> Answer<(Vec<u8>, Stat, Watch)> {
        let watch = self.link.watches.add(path, Wants::Node, bell);
        let path = path.to_owned();
        let (data, stat) = self.request(move |wire| async move { wire.data(&path, true).await }).await?;
        Ok((data, stat, watch))
    }

    /// Looks for a znode and rings `bell` when it comes, changes or goes.
    pub(crate) async fn exists_watched(&self, path: &str, bell: &Arc<Notify>) -> Answer<(Option<Stat>, Watch)> {
        let watch = self.link.watches.add(path, Wants::Node, bell);
        let path = path.to_owned();
        let stat = self.request(move |wire| async move { wire.exists(&path, true).await }).await?;
        Ok((stat, watch))
    }

    /// Lists children and rings `bell` when one comes or goes.
    pub(crate) async fn children_watched(&self, path: &str, bell: &Arc<Notify>) -> Answer<(Vec<String>, Watch)> {
        let watch = self.link.watches.add(path, Wants::Children, bell);
        let path = path.to_owned();
        let children = self.request(move |wire| async move { wire.children(&path, true).await }).await?;
        Ok((children, watch))
    }

    /// Waits until the session is over; says why.
    pub(crate) async fn over(&self) -> String {
        self.link.over().await
    }

    /// Fails if the session is over.
    pub(crate) fn check(&self) -> Answer<()> {
        self.link.check()
    }

    /// Declares the session over, if it is not yet: every request fails from now on.
    pub(crate) fn end(&self, reason: &str) -> Fault {
        self.link.end(reason)
    }

    /// Ends the session at the server after `last` was done, and lets go of the connection. For a session that is
    /// [over](Self::end). Returns within the timeout.
    pub(crate) async fn shut_down<F: Future<Output = ()>>(&self, last: impl FnOnce(Arc<Last>) -> F) -> Answer<()> {
        let mut shut_down = self.shut_down.lock().await;
        let wire = self.wire.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(wire) = wire else { return shut_down.clone().unwrap_or(Ok(())) };
        let requests = Arc::new(Last { wire: wire.clone() });
        let limit = || Fault::Away(format!("the server did not answer within {:?}", self.timeout));
        // What is left to do may take its time, but not the time that closing needs.
        let _ = timeout(self.timeout / 2, last(requests.clone())).await;
        let closing = async {
            // The library calls a session closed once it has said so, whether the server hears it or not.
            let heard = match self.heartbeat.get() {
                Some(heartbeat) => timeout(self.timeout / 4, requests.delete(&heartbeat.path, None)).await,
                None => Ok(Ok(())),
            };
            wire.close().await?;
            match heard.map_err(|_| limit())? {
                Err(Fault::NoNode) => Ok(()),
                heard => heard,
            }
        };
        let outcome = timeout(self.timeout / 2, closing).await.unwrap_or_else(|_| Err(limit()));
        self.tender.get().inspect(|tender| tender.abort());
        *shut_down = Some(outcome.clone());
        outcome
    }

    async fn request<T, F>(&self, call: impl FnOnce(Arc<Wire>) -> F) -> Answer<T>
    where
        T: 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        self.requests(1, call).await
    }

    /// Requests that go together: they wait for the connection, have a slot each, are bounded in time and end with the
    /// session.
    async fn requests<T, F>(&self, count: u32, call: impl FnOnce(Arc<Wire>) -> F) -> Answer<T>
    where
        T: 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let calling = async {
            self.link.connected().await?;
            let slot = self.slots.clone().acquire_many_owned(count).await.ok();
            let wire = self.wire.read().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(wire) = wire else { return Err(self.end("it was closed")) };
            InFlight::new(call(wire), slot, self.link.clone(), self.timeout).await
        };
        tokio::select! {
            biased;
            reason = self.link.over() => Err(Fault::Over(reason)),
            answer = calling => answer,
            () = sleep(self.timeout) => Err(Fault::Away(format!("no answer within {:?}", self.timeout))),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.link.end("it was dropped");
        self.tender.get().inspect(|tender| tender.abort());
    }
}

async fn beat(wire: &Wire, heartbeat: Option<&Heartbeat>, link: &Link) -> Answer<()> {
    let Some(heartbeat) = heartbeat else { return Ok(()) };
    match wire.set_data(&heartbeat.path, &heartbeat.data, None).await {
        Ok(_) => Ok(()),
        // zookeeper-async opens another session by itself when the server has dropped ours.
        Err(Fault::NoNode) => Err(link.end("the server has dropped it")),
        Err(fault) => Err(fault),
    }
}

/// The requests that a session which is closing may still send.
#[derive(Debug)]
pub(crate) struct Last {
    wire: Arc<Wire>,
}

impl Last {
    pub(crate) async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        self.wire.delete(path, version).await
    }

    pub(crate) async fn children(&self, path: &str) -> Answer<Vec<String>> {
        self.wire.children(path, false).await
    }
}

/// Makes each new connection fit for use, and only then lets requests through and has everybody read again.
async fn tend(client: std::sync::Weak<Client>, link: Arc<Link>) {
    loop {
        if link.next(State::Fresh).await.is_err() {
            return;
        }
        let Some(client) = client.upgrade() else { return };
        let wire = client.wire.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(wire) = wire else { return };
        let greeting = async {
            wire.greet().await?;
            beat(&wire, client.heartbeat.get().map(|heartbeat| &**heartbeat), &link).await
        };
        match timeout(client.timeout, greeting).await {
            Ok(Ok(())) => link.ready(),
            Ok(Err(Fault::Denied)) => drop(client.end("the server refuses the credentials")),
            // The connection is bad again; the next one will be announced. A short rest, if it is still this one.
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}
