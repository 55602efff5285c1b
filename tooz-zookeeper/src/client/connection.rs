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

use super::backend::{self, Backend, CreateMode, Dialer, Stat, Target};
use super::connection_state::ConnectionState;
use super::in_flight;
use super::probe::{self, Findings};
use super::watches::{Watch, WatchKind};
use crate::config::Config;
use crate::error::{Answer, Fault, session_lost, unreachable};
use crate::layout::ancestry;

/// How many requests may be in flight. zookeeper-async deadlocks when its queue of 64 is full and it wants to ping.
const IN_FLIGHT: usize = 48;

/// The pause before a connection that could not be prepared is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// How a session is opened.
#[derive(Debug)]
pub(crate) struct ConnectOptions<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ttl: Duration,
    pub(crate) timeout: Duration,
}

/// The ephemeral znode that renewals rewrite. A rewrite proves that the session lives and that the server is up to date.
#[derive(Debug)]
struct Heartbeat {
    path: String,
    data: Vec<u8>,
}

/// One ZooKeeper session.
#[derive(Debug)]
pub(crate) struct Client {
    backend: Mutex<Option<Arc<dyn Backend>>>,
    state: Arc<ConnectionState>,
    slots: Arc<Semaphore>,
    timeout: Duration,
    session_timeout: Duration,
    heartbeat: OnceLock<Arc<Heartbeat>>,
    reconnecting: OnceLock<AbortHandle>,
    /// The outcome of closing. It is locked meanwhile, so that a second caller waits for it.
    closed: tokio::sync::Mutex<Option<Answer<()>>>,
}

impl Client {
    /// Connects and authenticates. Fails within the timeout, also if no server answers.
    pub(crate) async fn connect(options: &ConnectOptions<'_>) -> Answer<Arc<Self>> {
        let state = Arc::new(ConnectionState::default());
        let backend = timeout(options.timeout, open_backend(options, state.clone())).await.unwrap_or_else(|_| {
            let hosts = options.config.hosts.join(", ");
            Err(unreachable(format!("{hosts}: no answer within {:?}", options.timeout)).into())
        })?;
        let client = Arc::new(Self {
            session_timeout: backend.session_timeout(),
            backend: Mutex::new(Some(backend)),
            state: state.clone(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
            timeout: options.timeout,
            heartbeat: OnceLock::new(),
            reconnecting: OnceLock::new(),
            closed: tokio::sync::Mutex::default(),
        });
        state.set_ready();
        let reconnecting = tokio::spawn(reconnect_loop(Arc::downgrade(&client), state));
        client.reconnecting.get_or_init(|| reconnecting.abort_handle());
        Ok(client)
    }

    /// The session timeout that the server granted.
    pub(crate) fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    /// Creates the session's heartbeat and returns the session's id.
    pub(crate) async fn start_heartbeat(&self, path: String, data: Vec<u8>) -> Answer<i64> {
        let (_, stat) = self.create(&path, &data, CreateMode::Ephemeral).await?;
        self.heartbeat.get_or_init(|| Arc::new(Heartbeat { path, data }));
        Ok(stat.owner)
    }

    /// Writes the heartbeat through the leader: the session lives, and reads that are sent after it see everything that
    /// was written before.
    pub(crate) async fn sync(&self) -> Answer<()> {
        let (heartbeat, state) = (self.heartbeat.get().cloned(), self.state.clone());
        self.request(move |backend| async move { beat(&*backend, heartbeat.as_deref(), &state).await }).await
    }

    pub(crate) async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Answer<(String, Stat)> {
        let (path, data) = (path.to_owned(), data.to_vec());
        self.request(move |backend| async move { backend.create(&path, &data, mode).await }).await
    }

    /// Creates a znode and its ancestors, where they are missing.
    pub(crate) async fn create_all(&self, path: &str) -> Answer<()> {
        for path in ancestry(path) {
            match self.create(path, b"", CreateMode::Persistent).await {
                // Without its parent: a cleanup has just removed that. The caller's next attempt creates it again.
                Ok(_) | Err(Fault::NodeExists | Fault::NoNode) => {}
                // Above the namespace the driver may be allowed to read but not to create.
                Err(Fault::Denied) if self.exists(path).await?.is_some() => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        let path = path.to_owned();
        self.request(move |backend| async move { backend.delete(&path, version).await }).await
    }

    pub(crate) async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        let (path, data) = (path.to_owned(), data.to_vec());
        self.request(move |backend| async move { backend.set_data(&path, &data, version).await }).await
    }

    pub(crate) async fn data(&self, path: &str) -> Answer<(Vec<u8>, Stat)> {
        let path = path.to_owned();
        self.request(move |backend| async move { backend.data(&path, false).await }).await
    }

    pub(crate) async fn exists(&self, path: &str) -> Answer<Option<Stat>> {
        let path = path.to_owned();
        self.request(move |backend| async move { backend.exists(&path, false).await }).await
    }

    /// Lists the names of a znode's children. A znode that does not exist has none.
    pub(crate) async fn children(&self, path: &str) -> Answer<Vec<String>> {
        let path = path.to_owned();
        let listed = self.request(move |backend| async move { backend.children(&path, false).await }).await;
        Ok(none_if_missing(listed)?.unwrap_or_default())
    }

    /// Reads a znode and wakes `wakeup` when it is changed or deleted. Without the znode there is no watch either.
    pub(crate) async fn data_watched(
        &self,
        path: &str,
        wakeup: &Arc<Notify>,
    ) -> Answer<Option<(Vec<u8>, Stat, Watch)>> {
        let watch = self.state.watches.add(path, WatchKind::Node, wakeup);
        let path = path.to_owned();
        let read = self.request(move |backend| async move { backend.data(&path, true).await }).await;
        Ok(none_if_missing(read)?.map(|(data, stat)| (data, stat, watch)))
    }

    /// Reads whether a znode exists and wakes `wakeup` when it is created, changed or deleted.
    pub(crate) async fn exists_watched(&self, path: &str, wakeup: &Arc<Notify>) -> Answer<(Option<Stat>, Watch)> {
        let watch = self.state.watches.add(path, WatchKind::Node, wakeup);
        let path = path.to_owned();
        let stat = self.request(move |backend| async move { backend.exists(&path, true).await }).await?;
        Ok((stat, watch))
    }

    /// Lists children and wakes `wakeup` when one is created or deleted. Without the znode there is no watch either.
    pub(crate) async fn children_watched(
        &self,
        path: &str,
        wakeup: &Arc<Notify>,
    ) -> Answer<Option<(Vec<String>, Watch)>> {
        let watch = self.state.watches.add(path, WatchKind::Children, wakeup);
        let path = path.to_owned();
        let listed = self.request(move |backend| async move { backend.children(&path, true).await }).await;
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

    /// Sends a request when there is a connection and a free slot.
    async fn request<T, F>(&self, call: impl FnOnce(Arc<dyn Backend>) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let deadline = Instant::now() + self.timeout;
        let prepared = async {
            self.state.ready().await?;
            let slot = self.slots.clone().acquire_owned().await.ok();
            let backend = lock(&self.backend).clone().ok_or_else(|| session_lost("it was closed"))?;
            Ok((backend, slot))
        };
        let (backend, slot) = self.state.bounded(deadline, prepared).await?;
        let (state, answer) = (self.state.clone(), call(backend));
        in_flight::send(async move { state.bounded(deadline, answer).await }, slot).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.state.end("it was dropped");
        self.reconnecting.get().inspect(|task| task.abort());
    }
}

async fn open_backend(options: &ConnectOptions<'_>, state: Arc<ConnectionState>) -> Answer<Arc<dyn Backend>> {
    let config = options.config;
    let tls = config.tls.as_ref().map(|files| files.read()).transpose()?;
    let dialer = Dialer::new(tls.as_ref())?;
    // Half of the time is left for the session itself.
    let Findings { servers, granted } =
        probe::probe(&config.hosts_to_try(), options.ttl, options.timeout / 2, &dialer).await?;
    backend::connect(Target { servers, ttl: options.ttl, granted, digest: config.digest.clone(), tls, state }).await
}

/// Prepares each new connection, lets requests through and has all watches read again.
async fn reconnect_loop(client: Weak<Client>, state: Arc<ConnectionState>) {
    while state.new_connection().await.is_ok() {
        let Some(client) = client.upgrade() else { return };
        let Some(backend) = lock(&client.backend).clone() else { return };
        let preparing = async {
            backend.prepare().await?;
            beat(&*backend, client.heartbeat.get().map(|heartbeat| &**heartbeat), &state).await
        };
        match timeout(client.timeout, preparing).await {
            Ok(Ok(())) => state.set_ready(),
            Ok(Err(Fault::Denied)) => state.end("the server refuses the credentials"),
            // The connection is lost again, or soon will be.
            _ => sleep(RETRY).await,
        }
    }
}

async fn beat(backend: &dyn Backend, heartbeat: Option<&Heartbeat>, state: &ConnectionState) -> Answer<()> {
    let Some(heartbeat) = heartbeat else { return Ok(()) };
    match backend.set_data(&heartbeat.path, &heartbeat.data, None).await {
        // zookeeper-async opens another session silently when the server has expired the first one.
        Err(Fault::NoNode) => {
            state.end("the server has expired it");
            state.check()
        }
        outcome => outcome.map(drop),
    }
}

fn none_if_missing<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Err(Fault::NoNode) => Ok(None),
        answer => answer.map(Some),
    }
}
