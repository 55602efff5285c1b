//! One ZooKeeper session as the driver uses it, over a [`Backend`].
//!
//! - Every request is bounded in time, waits for the connection and fails once the session has ended.
//! - A watch also fires after each reconnection, since events may have been missed; its reader then reads again.
//! - After a reconnection the heartbeat is written before anything else, so that a server that lags behind catches up first.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tooz_core::driver::support::lock;
use tracing::warn;

use super::backend::{self, Backend, CreateMode, Dialer, Stat, Target};
use super::background::Background;
use super::connection_state::ConnectionState;
use super::heartbeat::Heartbeat;
use super::in_flight;
use super::probe::{Findings, probe};
use super::watches::{Watch, WatchKind};
use crate::config::{Config, TlsFiles};
use crate::error::{Answer, Fault, session_lost, unreachable};
use crate::history::History;
use crate::layout::{ancestry, parent};

/// How many requests may be in flight. zookeeper-async deadlocks when its queue of 64 is full and it wants to ping.
const IN_FLIGHT: usize = 48;

/// How many of them may read data. Each answer may be a megabyte, and a renewal that is sent later waits for it.
const DATA_IN_FLIGHT: usize = 16;

/// The greatest session timeout that ZooKeeper's protocol can express.
pub(crate) const GREATEST_TTL: Duration = Duration::from_millis(i32::MAX as u64);

/// zookeeper-async rounds timeouts down to seconds; below this it takes every idle moment for a dead connection.
const LEAST_TTL: Duration = Duration::from_secs(2);

/// A longer timeout would overflow the clock.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(86_400 * 365);

/// The pause before a connection that could not be prepared is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// One ZooKeeper session.
#[derive(Debug)]
pub(crate) struct Client {
    backend: Mutex<Option<Arc<dyn Backend>>>,
    state: Arc<ConnectionState>,
    data_slots: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    timeout: Duration,
    session_timeout: Duration,
    heartbeat: OnceLock<Arc<Heartbeat>>,
    reconnecting: OnceLock<AbortHandle>,
    background: Arc<Background>,
    /// The outcome of closing. It is locked meanwhile, so that a second caller waits for it.
    closed: tokio::sync::Mutex<Option<Answer<()>>>,
}

impl Client {
    /// Connects and authenticates. Fails within the timeout, also if no server answers. A connection that is lost meanwhile is
    /// followed by another one: zookeeper-async gives each only 2 s for its handshake, which a busy server may exceed.
    pub(crate) async fn connect(config: &Config, ttl: Duration, limit: Duration) -> Answer<Arc<Self>> {
        let opening = async {
            let client = Arc::new(open(config, ttl, limit).await?);
            let preparing = client.spawn(prepare_connections(Arc::downgrade(&client), client.state.clone()));
            client.reconnecting.get_or_init(|| preparing);
            client.state.ready().await?;
            Ok(client)
        };
        timeout(limit, opening).await.unwrap_or_else(|_| {
            Err(unreachable(format!("{}: no answer within {limit:?}", config.hosts.join(", "))).into())
        })
    }

    /// Starts a task that outlives the runtime of the caller.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.background.spawn(work)
    }

    /// The session timeout that the server granted.
    pub(crate) fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    /// The number of the servers' history that the session belongs to.
    pub(crate) fn history(&self) -> u64 {
        self.heartbeat.get().map_or(0, |heartbeat| heartbeat.number)
    }

    /// Creates the session's heartbeat and returns the session's id.
    pub(crate) async fn start_heartbeat(&self, path: &str, data: &[u8], history: &Arc<History>) -> Answer<i64> {
        let before = history.before_write();
        let (_, stat) = self.create(path, data, CreateMode::Ephemeral).await?;
        let root = parent(path);
        let root_zxid = self.exists(root).await?.unwrap_or_default().czxid;
        let number = history.after_open(before, stat.czxid, root, root_zxid);
        let (path, data, history) = (path.to_owned(), data.to_vec(), history.clone());
        self.heartbeat.get_or_init(|| Arc::new(Heartbeat { path, data, history, number }));
        Ok(stat.owner)
    }

    /// Writes the heartbeat through the leader: the session lives, and reads that are sent after it see everything that
    /// was written before.
    pub(crate) async fn sync(&self) -> Answer<()> {
        self.write_heartbeat(&[&self.slots]).await
    }

    /// As [`sync`](Self::sync), without waiting for a slot behind other requests.
    pub(crate) async fn renew(&self) -> Answer<()> {
        self.write_heartbeat(&[]).await
    }

    async fn write_heartbeat(&self, slots: &[&Arc<Semaphore>]) -> Answer<()> {
        let Some(heartbeat) = self.heartbeat.get().cloned() else { return Ok(()) };
        let state = self.state.clone();
        self.request(slots, move |backend| async move { heartbeat.write(&*backend, &state).await }).await
    }

    pub(crate) async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Answer<(String, Stat)> {
        let data = data.to_vec();
        self.request_at(path, move |backend, path| async move { backend.create(&path, &data, mode).await }).await
    }

    /// Creates a znode and its ancestors, where they are missing.
    pub(crate) async fn create_all(&self, path: &str) -> Answer<()> {
        for path in ancestry(path) {
            match self.create(path, b"", CreateMode::Persistent).await {
                // Without its parent: a cleanup has just removed that. The caller's next attempt creates it again.
                Ok(_) | Err(Fault::NodeExists | Fault::NoNode) => {}
                // Above the namespace the driver may be allowed to read but not to create.
                Err(Fault::Denied) if self.exists(path).await?.is_some() => {}
                Err(fault) => return Err(fault.into_error().with_context("znode", path).into()),
            }
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        self.request_at(path, move |backend, path| async move { backend.delete(&path, version).await }).await
    }

    pub(crate) async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        let data = data.to_vec();
        self.request_at(path, move |backend, path| async move { backend.set_data(&path, &data, version).await }).await
    }

    pub(crate) async fn data(&self, path: &str) -> Answer<(Vec<u8>, Stat)> {
        self.read_data(path, false).await
    }

    pub(crate) async fn exists(&self, path: &str) -> Answer<Option<Stat>> {
        self.request_at(path, |backend, path| async move { backend.exists(&path, false).await }).await
    }

    /// Lists the names of a znode's children. A znode that does not exist has none.
    pub(crate) async fn children(&self, path: &str) -> Answer<Vec<String>> {
        let listed = self.request_at(path, |backend, path| async move { backend.children(&path, false).await }).await;
        Ok(none_if_missing(listed)?.unwrap_or_default())
    }

    /// Reads a znode and wakes `wakeup` when it is changed or deleted. Without the znode there is no watch either. Data that
    /// the access list hides are empty, so that one foreign znode does not fail the verbs of everyone.
    pub(crate) async fn data_watched(
        &self,
        path: &str,
        wakeup: &Arc<Notify>,
    ) -> Answer<Option<(Vec<u8>, Stat, Watch)>> {
        let watch = self.state.watches.add(path, WatchKind::Node, wakeup);
        match self.read_data(path, true).await {
            Err(Fault::Denied) => {
                warn!(znode = path, "the access list of a znode hides its data; the driver reads it as empty");
                // The server does not deliver events of such a znode, so the watch is on its parent.
                let Some((_, watch)) = self.children_watched(parent(path), wakeup).await? else { return Ok(None) };
                Ok(self.exists(path).await?.map(|stat| (Vec::new(), stat, watch)))
            }
            read => Ok(none_if_missing(read)?.map(|(data, stat)| (data, stat, watch))),
        }
    }

    /// Reads whether a znode exists and wakes `wakeup` when it is created, changed or deleted.
    pub(crate) async fn exists_watched(&self, path: &str, wakeup: &Arc<Notify>) -> Answer<(Option<Stat>, Watch)> {
        let watch = self.state.watches.add(path, WatchKind::Node, wakeup);
        let stat = self.request_at(path, |backend, path| async move { backend.exists(&path, true).await }).await?;
        Ok((stat, watch))
    }

    /// Lists children and wakes `wakeup` when one is created or deleted. Without the znode there is no watch either.
    pub(crate) async fn children_watched(
        &self,
        path: &str,
        wakeup: &Arc<Notify>,
    ) -> Answer<Option<(Vec<String>, Watch)>> {
        let watch = self.state.watches.add(path, WatchKind::Children, wakeup);
        let listed = self.request_at(path, |backend, path| async move { backend.children(&path, true).await }).await;
        Ok(none_if_missing(listed)?.map(|children| (children, watch)))
    }

    /// Deletes a znode and returns whether it existed.
    pub(crate) async fn delete_if_exists(&self, path: &str) -> Answer<bool> {
        Ok(none_if_missing(self.delete(path, None).await)?.is_some())
    }

    /// Waits for the session's end and returns the reason.
    pub(crate) async fn ended(&self) -> String {
        self.state.ended().await
    }

    /// Fails if the session has ended.
    pub(crate) fn check(&self) -> Answer<()> {
        self.state.check()
    }

    /// Ends the session locally, if it has not ended: every request fails from now on. The first reason stays.
    pub(crate) fn end(&self, reason: &str) {
        self.state.end(reason);
    }

    /// Ends the session at the server and closes the connection, after `last` has sent what is left to do. The session must
    /// have [ended](Self::end) locally. Returns within the timeout.
    pub(crate) async fn close<F: Future<Output = ()>>(&self, last: impl FnOnce(Arc<dyn Backend>) -> F) -> Answer<()> {
        let mut closed = self.closed.lock().await;
        let backend = lock(&self.backend).take();
        let Some(backend) = backend else { return closed.clone().unwrap_or(Ok(())) };
        // The remaining requests get half of the time, closing the other half.
        let _ = timeout(self.timeout / 2, last(backend.clone())).await;
        let no_answer = |_| unreachable(format!("no answer within {:?}", self.timeout));
        let closing = async {
            // The crates report success whether or not the server has received the close, so a delete is answered first.
            let heard = match self.heartbeat.get() {
                Some(heartbeat) => timeout(self.timeout / 4, backend.delete(&heartbeat.path, None)).await,
                None => Ok(Ok(())),
            };
            backend.close().await?;
            none_if_missing(heard.map_err(no_answer)?).map(drop)
        };
        let outcome = timeout(self.timeout / 2, closing).await.unwrap_or_else(|elapsed| Err(no_answer(elapsed).into()));
        self.reconnecting.get().inspect(|task| task.abort());
        *closed = Some(outcome.clone());
        outcome
    }

    async fn read_data(&self, path: &str, watch: bool) -> Answer<(Vec<u8>, Stat)> {
        let (slots, path) = ([&self.data_slots, &self.slots], path.to_owned());
        self.request(&slots, move |backend| async move { backend.data(&path, watch).await }).await
    }

    /// Sends a request about one znode, as [`request`](Self::request) does.
    async fn request_at<T, F>(&self, path: &str, call: impl FnOnce(Arc<dyn Backend>, String) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let path = path.to_owned();
        self.request(&[&self.slots], move |backend| call(backend, path)).await
    }

    /// Sends a request when there is a connection and a free slot of each kind that it needs.
    async fn request<T, F>(&self, slots: &[&Arc<Semaphore>], call: impl FnOnce(Arc<dyn Backend>) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let deadline = Instant::now() + self.timeout;
        let prepared = async {
            self.state.ready().await?;
            let mut permits = Vec::with_capacity(slots.len());
            for slots in slots {
                permits.extend(Arc::clone(slots).acquire_owned().await.ok());
            }
            let backend = lock(&self.backend).clone().ok_or_else(|| session_lost("it was closed"))?;
            Ok((backend, permits))
        };
        let (backend, permits) = self.state.bounded(deadline, prepared).await?;
        let (state, answer) = (self.state.clone(), call(backend));
        in_flight::send(async move { state.bounded(deadline, answer).await }, permits).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.state.end("it was dropped");
        self.reconnecting.get().inspect(|task| task.abort());
    }
}

/// Opens a session, whose connection is not prepared.
async fn open(config: &Config, ttl: Duration, limit: Duration) -> Answer<Client> {
    let (state, background) = (Arc::new(ConnectionState::default()), Background::shared()?);
    let ttl = ttl.clamp(LEAST_TTL, GREATEST_TTL);
    let tls = config.tls.as_ref().map(TlsFiles::read).transpose()?;
    let dialer = Dialer::new(tls.as_ref())?;
    // Half of the time is left for the session itself.
    let Findings { servers, granted } = probe(&config.hosts_to_try(), ttl, limit / 2, &dialer).await?;
    let (client, digest) = (config.client, config.digest.clone());
    let target = Target { client, servers, ttl, digest, tls, state: state.clone(), background: background.clone() };
    let backend = backend::connect(target).await?;
    Ok(Client {
        backend: Mutex::new(Some(backend)),
        state,
        data_slots: Arc::new(Semaphore::new(DATA_IN_FLIGHT)),
        slots: Arc::new(Semaphore::new(IN_FLIGHT)),
        timeout: limit.min(LONGEST_TIMEOUT),
        session_timeout: granted,
        heartbeat: OnceLock::new(),
        reconnecting: OnceLock::new(),
        background,
        closed: tokio::sync::Mutex::default(),
    })
}

/// Prepares each new connection, lets requests through and has all watches read again.
async fn prepare_connections(client: Weak<Client>, state: Arc<ConnectionState>) {
    while state.new_connection().await.is_ok() {
        let Some(client) = client.upgrade() else { return };
        let Some(backend) = lock(&client.backend).clone() else { return };
        let preparing = async {
            backend.prepare().await?;
            match client.heartbeat.get() {
                Some(heartbeat) => heartbeat.write(&*backend, &state).await,
                None => Ok(()),
            }
        };
        match timeout(client.timeout, preparing).await {
            Ok(Ok(())) => state.set_ready(),
            Ok(Err(Fault::Denied)) => state.end("the server refuses the credentials"),
            // The connection is lost again, or soon will be.
            _ => sleep(RETRY).await,
        }
    }
}

fn none_if_missing<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Err(Fault::NoNode) => Ok(None),
        answer => answer.map(Some),
    }
}
