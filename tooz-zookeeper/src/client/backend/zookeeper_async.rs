//! The backend for zookeeper-async 5.0, and what makes it safe to use.
//!
//! - It opens a new session silently when the old one has expired: `NotConnected` means the end of the driver's session.
//! - Its watches do not survive a reconnection and its closures leak, so only its global watcher is used.
//! - It never gives up on a server and does not tell the granted timeout: the driver probes the servers first.
//! - It cannot be dropped: its tasks end when they have sent the end of the session, or with their [thread](Background).
//! - It authenticates on its first connection only, and its chroot panics on session events: neither is used.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::join;
use tokio::time::{sleep, timeout};
use zookeeper_async::{Acl, CreateMode as ZkCreateMode, WatchedEvent, WatchedEventType, ZkError, ZkState, ZooKeeper};

use super::{Backend, CreateMode, Stat, Target};
use crate::client::background::Background;
use crate::client::connection_state::ConnectionState;
use crate::client::watches::WatchKind;
use crate::error::{Answer, Fault, foreign_znode, session_lost, unexpected, unreachable};

/// The shortest pause of the crate between two attempts to connect; at zero it burns a core.
const RETRY: Duration = Duration::from_millis(200);

/// How long a dropped session may take to end before its [thread](Background) is given up.
const CLOSING: Duration = Duration::from_secs(2);

/// Opens a session, whose connection is not prepared.
pub(crate) async fn connect(target: Target) -> Answer<Arc<dyn Backend>> {
    let (state, background) = (target.state.clone(), target.background.clone());
    let backend = background.run(open(target)).await??;
    // The listener may have been added after the first connection was made.
    state.set_new();
    Ok(Arc::new(backend))
}

async fn open(target: Target) -> Answer<ZookeeperAsync> {
    let servers = target.servers.iter().map(|(_, addr)| addr.to_string()).collect::<Vec<_>>().join(",");
    let (events, states) = (target.state.clone(), target.state);
    let watcher = move |event: WatchedEvent| on_event(&events, &event);
    let zk = ZooKeeper::connect_with_retry_time(&servers, target.ttl, watcher, RETRY).await.map_err(fault)?;
    let closed = Arc::new(AtomicBool::new(false));
    let is_closed = closed.clone();
    zk.add_listener(move |state| {
        is_closed.fetch_or(state == ZkState::Closed, Ordering::SeqCst);
        on_state(&states, state);
    });
    let digest = target.digest.map(String::into_bytes);
    let acl = if digest.is_some() { Acl::creator_all() } else { Acl::open_unsafe() }.clone();
    Ok(ZookeeperAsync { zk: Arc::new(zk), acl, digest, closed, background: target.background })
}

/// One session of zookeeper-async.
struct ZookeeperAsync {
    zk: Arc<ZooKeeper>,
    acl: Vec<Acl>,
    digest: Option<Vec<u8>>,
    /// Whether the crate has sent the end of the session. Its tasks have ended then.
    closed: Arc<AtomicBool>,
    background: Arc<Background>,
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

impl Drop for ZookeeperAsync {
    fn drop(&mut self) {
        let (zk, closed, background) = (self.zk.clone(), self.closed.clone(), self.background.clone());
        let closing = async move {
            while !closed.load(Ordering::SeqCst) {
                let _ = join!(timeout(RETRY, zk.close()), sleep(RETRY));
            }
        };
        self.background.spawn(async move {
            let mut closing = pin!(closing);
            if timeout(CLOSING, &mut closing).await.is_err() {
                background.retire();
                // From now on this task does not keep the thread.
                drop(background);
                closing.await;
            }
        });
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
