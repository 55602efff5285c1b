//! zookeeper-async 5.0, and what must be done for it to be safe to use.
//!
//! - It opens a new session silently when the old one expired: `NotConnected` is the end of ours.
//! - Its watches do not survive a reconnection and its closures leak, so only its global watcher is used.
//! - It tells neither the granted timeout nor when it is connected first, and never gives up on a host: see `probe`.
//! - It cannot be dropped, so it lives on a runtime that can.
//! - It authenticates on its first connection only, and its chroot panics on session events: neither is used.

use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::runtime::{Builder, Handle, Runtime};
use zookeeper_async::{Acl, CreateMode, WatchedEvent, WatchedEventType, ZkError, ZkState, ZooKeeper};

use super::dial::Dialer;
use super::link::Link;
use super::probe::{self, Findings};
use super::{Answer, Fault, Make, Stat, Target};

/// Its shortest rest between two attempts to connect; at zero it burns a core.
const RETRY: Duration = Duration::from_millis(200);

/// Below this it takes every idle moment for a dead connection: it rounds down to seconds.
const SHORTEST: Duration = Duration::from_secs(2);

/// One session of the library.
pub(super) struct Wire {
    zk: Arc<ZooKeeper>,
    acl: Vec<Acl>,
    digest: Option<Vec<u8>>,
    _thread: Thread,
}

impl Wire {
    /// A wire, fit for use, and the session timeout that was granted.
    pub(super) async fn connect(target: &Target, link: Arc<Link>) -> Answer<(Self, Duration)> {
        let mut hosts = target.config.hosts.clone();
        if target.config.randomize {
            hosts.shuffle(&mut rand::rng());
        }
        let ttl = target.ttl.max(SHORTEST);
        let dialer = Dialer::new(&target.config)?;
        // Time is left for the session itself.
        let Findings { alive, negotiated } = probe::probe(&hosts, ttl, target.timeout / 2, &dialer).await?;
        // From here on dropping this future ends the library too.
        let (thread, handle) =
            Thread::start().map_err(|error| Fault::Other(format!("no thread for the client: {error}")))?;
        let hosts = alive.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let events = link.clone();
        let watcher = move |event: WatchedEvent| tell(&events, &event);
        let connecting =
            handle.spawn(async move { ZooKeeper::connect_with_retry_time(&hosts, ttl, watcher, RETRY).await });
        let zk = connecting.await.map_err(|error| Fault::Other(error.to_string()))?.map_err(fault)?;
        let states = link.clone();
        zk.add_listener(move |state| follow(&states, state));
        let digest = target.config.digest.clone().map(String::into_bytes);
        let acl = if digest.is_some() { Acl::creator_all() } else { Acl::open_unsafe() };
        let this = Self { zk: Arc::new(zk), acl: acl.clone(), digest, _thread: thread };
        this.greet().await?;
        // The listener may have come too late for the first connection, but an answer proves it.
        link.fresh();
        Ok((this, negotiated))
    }

    /// What a new connection needs first. Its answer proves that the connection stands.
    pub(super) async fn greet(&self) -> Answer<()> {
        match &self.digest {
            Some(digest) => self.zk.add_auth("digest", digest.clone()).await.map_err(fault),
            None => self.zk.exists("/", false).await.map(drop).map_err(fault),
        }
    }

    pub(super) async fn create(&self, path: &str, data: &[u8], make: Make) -> Answer<(String, Stat)> {
        let mode = match make {
            Make::Persistent => CreateMode::Persistent,
            Make::Ephemeral => CreateMode::Ephemeral,
            Make::PersistentSequential => CreateMode::PersistentSequential,
            Make::EphemeralSequential => CreateMode::EphemeralSequential,
        };
        let created = self.zk.create2(path, data.to_vec(), self.acl.clone(), mode).await;
        created.map(|(path, stat)| (path, stat.into())).map_err(fault)
    }

    pub(super) async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        self.zk.delete(path, version).await.map_err(fault)
    }

    pub(super) async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        self.zk.set_data(path, data.to_vec(), version).await.map(Stat::from).map_err(fault)
    }

    pub(super) async fn data(&self, path: &str, watch: bool) -> Answer<(Vec<u8>, Stat)> {
        self.zk.get_data(path, watch).await.map(|(data, stat)| (data, stat.into())).map_err(fault)
    }

    pub(super) async fn exists(&self, path: &str, watch: bool) -> Answer<Option<Stat>> {
        self.zk.exists(path, watch).await.map(|stat| stat.map(Stat::from)).map_err(fault)
    }

    pub(super) async fn children(&self, path: &str, watch: bool) -> Answer<Vec<String>> {
        self.zk.get_children(path, watch).await.map_err(fault)
    }

    pub(super) async fn close(&self) -> Answer<()> {
        self.zk.close().await.map_err(fault)
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("zookeeper-async")
    }
}

/// A runtime of one thread, which ends with its owner, also in an async context.
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

/// Runs inside the library, where a panic would kill it.
fn tell(link: &Link, event: &WatchedEvent) {
    let Some(path) = &event.path else { return };
    let children = event.event_type == WatchedEventType::NodeChildrenChanged;
    link.watches.ring(path, children, event.event_type == WatchedEventType::NodeDeleted);
}

/// As [`tell`], for the state of the connection.
fn follow(link: &Link, state: ZkState) {
    match state {
        ZkState::Connected => link.fresh(),
        ZkState::Connecting | ZkState::ConnectedReadOnly => link.away(),
        ZkState::AuthFailed => drop(link.end("the server refuses the credentials")),
        // `NotConnected`: the server does not know the session any more. The library will open another one.
        _ => drop(link.end("the server has dropped it")),
    }
}

fn fault(error: ZkError) -> Fault {
    match error {
        ZkError::NoNode => Fault::NoNode,
        ZkError::NodeExists => Fault::NodeExists,
        ZkError::NotEmpty => Fault::NotEmpty,
        ZkError::BadVersion => Fault::BadVersion,
        ZkError::NoAuth | ZkError::AuthFailed | ZkError::InvalidACL => Fault::Denied,
        ZkError::SessionExpired => Fault::Over("the server has dropped it".to_owned()),
        ZkError::ConnectionLoss | ZkError::OperationTimeout | ZkError::SessionMoved => {
            Fault::Away("the connection was lost".to_owned())
        }
        other => Fault::Other(format!("{other:?}")),
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
