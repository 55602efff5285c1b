//! The backend for zookeeper-async 5.0, and what makes it safe to use.
//!
//! - It opens a new session silently when the old one has expired: `NotConnected` means the end of the driver's session.
//! - Its watches do not survive a reconnection and its closures leak, so only its global watcher is used.
//! - It never gives up on a server and does not tell the granted timeout: the driver probes the servers first.
//! - It cannot be dropped, so it lives on a runtime that can.
//! - It authenticates on its first connection only, and its chroot panics on session events: neither is used.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::{Builder, Handle, Runtime};
use zookeeper_async::{Acl, CreateMode as ZkCreateMode, WatchedEvent, WatchedEventType, ZkError, ZkState, ZooKeeper};

use super::{Backend, CreateMode, Stat, Target};
use crate::client::connection_state::ConnectionState;
use crate::client::watches::WatchKind;
use crate::error::{Answer, Fault, foreign_znode, session_lost, unexpected, unreachable};

/// The shortest pause of the crate between two attempts to connect; at zero it burns a core.
const RETRY: Duration = Duration::from_millis(200);

/// Opens a session. The connection is prepared.
pub(crate) async fn connect(target: Target) -> Answer<Arc<dyn Backend>> {
    // From here on, dropping this future ends the crate's tasks too.
    let (thread, handle) = Thread::start().map_err(unexpected)?;
    let servers = target.servers.iter().map(|(_, addr)| addr.to_string()).collect::<Vec<_>>().join(",");
    let (events, ttl) = (target.state.clone(), target.ttl);
    let watcher = move |event: WatchedEvent| on_event(&events, &event);
    let connecting =
        handle.spawn(async move { ZooKeeper::connect_with_retry_time(&servers, ttl, watcher, RETRY).await });
    let zk = connecting.await.map_err(unexpected)?.map_err(fault)?;
    let states = target.state.clone();
    zk.add_listener(move |state| on_state(&states, state));
    let digest = target.digest.map(String::into_bytes);
    let acl = if digest.is_some() { Acl::creator_all() } else { Acl::open_unsafe() }.clone();
    let backend = ZookeeperAsync { zk, acl, digest, _thread: thread };
    backend.prepare().await?;
    // The listener may have been added after the first connection was made.
    target.state.set_new();
    Ok(Arc::new(backend))
}

/// One session of zookeeper-async.
struct ZookeeperAsync {
    zk: ZooKeeper,
    acl: Vec<Acl>,
    digest: Option<Vec<u8>>,
    _thread: Thread,
}

#[async_trait]
impl Backend for ZookeeperAsync {
    async fn prepare(&self) -> Answer<()> {
        match &self.digest {
            Some(digest) => self.zk.add_auth("digest", digest.clone()).await.map_err(fault),
            None => self.zk.exists("/", false).await.map(drop).map_err(fault),
        }
    }

    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Answer<(String, Stat)> {
        let mode = match mode {
            CreateMode::Persistent => ZkCreateMode::Persistent,
            CreateMode::Ephemeral => ZkCreateMode::Ephemeral,
            CreateMode::PersistentSequential => ZkCreateMode::PersistentSequential,
            CreateMode::EphemeralSequential => ZkCreateMode::EphemeralSequential,
        };
        let created = self.zk.create2(path, data.to_vec(), self.acl.clone(), mode).await;
        created.map(|(path, stat)| (path, stat.into())).map_err(fault)
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        self.zk.delete(path, version).await.map_err(fault)
    }

    async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        self.zk.set_data(path, data.to_vec(), version).await.map(Stat::from).map_err(fault)
    }

    async fn data(&self, path: &str, watch: bool) -> Answer<(Vec<u8>, Stat)> {
        self.zk.get_data(path, watch).await.map(|(data, stat)| (data, stat.into())).map_err(fault)
    }

    async fn exists(&self, path: &str, watch: bool) -> Answer<Option<Stat>> {
        self.zk.exists(path, watch).await.map(|stat| stat.map(Stat::from)).map_err(fault)
    }

    async fn children(&self, path: &str, watch: bool) -> Answer<Vec<String>> {
        self.zk.get_children(path, watch).await.map_err(fault)
    }

    async fn close(&self) -> Answer<()> {
        self.zk.close().await.map_err(fault)
    }
}

impl std::fmt::Debug for ZookeeperAsync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ZookeeperAsync")
    }
}

/// A runtime of one thread, which ends when this is dropped, also in an async context.
struct Thread(Option<Runtime>);

impl Thread {
    fn start() -> std::io::Result<(Self, Handle)> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("tooz-zookeeper").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok((Self(Some(runtime)), handle))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Handles a watch event. It runs inside the crate, which a panic would stop.
fn on_event(state: &ConnectionState, event: &WatchedEvent) {
    let Some(path) = &event.path else { return };
    let is_children = event.event_type == WatchedEventType::NodeChildrenChanged;
    let kind = if is_children { WatchKind::Children } else { WatchKind::Node };
    state.watches.fire(path, kind, event.event_type == WatchedEventType::NodeDeleted);
}

/// Handles a change of the connection's state, as [`on_event`] handles an event.
fn on_state(state: &ConnectionState, zk_state: ZkState) {
    match zk_state {
        ZkState::Connected => state.set_new(),
        ZkState::Connecting | ZkState::ConnectedReadOnly => state.set_disconnected(),
        ZkState::AuthFailed => state.end("the server refuses the credentials"),
        // With `NotConnected` the server no longer knows the session, and the crate opens another one.
        _ => state.end("the server has expired it"),
    }
}

fn fault(error: ZkError) -> Fault {
    match error {
        ZkError::NoNode => Fault::NoNode,
        ZkError::NodeExists => Fault::NodeExists,
        ZkError::NotEmpty => Fault::NotEmpty,
        ZkError::BadVersion => Fault::BadVersion,
        ZkError::NoAuth | ZkError::AuthFailed | ZkError::InvalidACL => Fault::Denied,
        ZkError::SessionExpired => session_lost("the server has expired it").into(),
        ZkError::ConnectionLoss | ZkError::OperationTimeout | ZkError::SessionMoved => {
            unreachable("the connection was lost").into()
        }
        ZkError::NoChildrenForEphemerals => foreign_znode().into(),
        other => unexpected(format!("{other:?}")).into(),
    }
}

impl From<zookeeper_async::Stat> for Stat {
    fn from(stat: zookeeper_async::Stat) -> Self {
        Self {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            version: stat.version,
            cversion: stat.cversion,
            children: stat.num_children,
            owner: stat.ephemeral_owner,
        }
    }
}
