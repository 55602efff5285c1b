//! The backend for zookeeper-client 0.11, which speaks TLS.
//!
//! It resumes its session, watches and authentication by itself and ends the session when it is dropped.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tooz_core::driver::support::lock;
use tooz_core::{Error, ErrorKind};
use zookeeper_client as zk;
use zookeeper_client::{Acls, EventType, OneshotWatcher, SessionState};

use super::{Backend, CreateMode, Stat, Target};
use crate::client::background::Background;
use crate::client::connection_state::ConnectionState;
use crate::client::watches::WatchKind;
use crate::config::PemFiles;
use crate::error::{Answer, Fault, foreign_znode, session_lost, unexpected, unreachable};

/// Opens a session, whose connection is not prepared.
pub(crate) async fn connect(target: Target) -> Answer<Arc<dyn Backend>> {
    let mut connector = zk::Client::connector().with_session_timeout(target.ttl);
    if let Some(digest) = &target.digest {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    // Names, not addresses: a certificate is for a name.
    let servers = target.servers.iter().map(|(host, _)| &**host).collect::<Vec<_>>().join(",");
    let connector = match &target.tls {
        None => connector,
        Some(pem) => connector.with_tls(tls_options(pem)?),
    };
    let (is_secure, named) = (target.tls.is_some(), servers.clone());
    let connecting = async move {
        match is_secure {
            false => connector.connect(&servers).await,
            true => connector.secure_connect(&servers).await,
        }
    };
    let (background, state) = (target.background, target.state);
    let connected = background.run(connecting).await?;
    let client = connected.map_err(|error| fault(error).into_error().with_context("servers", named))?;
    state.set_new();
    background.spawn(follow(client.state_watcher(), state.clone(), background.clone()));
    let acls = if target.digest.is_some() { Acls::creator_all() } else { Acls::anyone_all() };
    Ok(Arc::new(ZookeeperClient { client, state, acls, forwarded: Arc::default(), background }))
}

/// One session of zookeeper-client.
#[derive(Debug)]
struct ZookeeperClient {
    client: zk::Client,
    state: Arc<ConnectionState>,
    acls: Acls<'static>,
    /// The paths with a watcher of the crate, by what it is for.
    forwarded: Arc<Mutex<HashSet<(String, &'static str)>>>,
    background: Arc<Background>,
}

#[async_trait]
impl Backend for ZookeeperClient {
    /// The crate authenticates by itself.
    async fn prepare(&self) -> Answer<()> {
        Ok(())
    }

    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Answer<(String, Stat)> {
        let (zk_mode, is_sequential) = match mode {
            CreateMode::Persistent => (zk::CreateMode::Persistent, false),
            CreateMode::Ephemeral => (zk::CreateMode::Ephemeral, false),
            CreateMode::PersistentSequential => (zk::CreateMode::PersistentSequential, true),
            CreateMode::EphemeralSequential => (zk::CreateMode::EphemeralSequential, true),
        };
        let options = zk_mode.with_acls(self.acls);
        let (stat, number) = self.client.create(path, data, &options).await.map_err(fault)?;
        let path = if is_sequential { format!("{path}{number}") } else { path.to_owned() };
        Ok((path, stat.into()))
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        self.client.delete(path, version).await.map_err(fault)
    }

    async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        self.client.set_data(path, data, version).await.map(Stat::from).map_err(fault)
    }

    async fn data(&self, path: &str, watch: bool) -> Answer<(Vec<u8>, Stat)> {
        if !watch {
            return self.client.get_data(path).await.map(|(data, stat)| (data, stat.into())).map_err(fault);
        }
        let (data, stat, watcher) = self.client.get_and_watch_data(path).await.map_err(fault)?;
        self.forward(path, "data", watcher);
        Ok((data, stat.into()))
    }

    async fn exists(&self, path: &str, watch: bool) -> Answer<Option<Stat>> {
        if !watch {
            return self.client.check_stat(path).await.map(|stat| stat.map(Stat::from)).map_err(fault);
        }
        let (stat, watcher) = self.client.check_and_watch_stat(path).await.map_err(fault)?;
        self.forward(path, "stat", watcher);
        Ok(stat.map(Stat::from))
    }

    async fn children(&self, path: &str, watch: bool) -> Answer<Vec<String>> {
        if !watch {
            return self.client.list_children(path).await.map_err(fault);
        }
        let (children, watcher) = self.client.list_and_watch_children(path).await.map_err(fault)?;
        self.forward(path, "children", watcher);
        Ok(children)
    }

    /// The session ends when the last handle of the crate's client is dropped.
    async fn close(&self) -> Answer<()> {
        Ok(())
    }
}

impl ZookeeperClient {
    /// Hands the event of a watcher to the driver's watches. The watcher must be kept until then. The server has one watch
    /// for each path and kind, so one watcher is enough.
    fn forward(&self, path: &str, purpose: &'static str, watcher: OneshotWatcher) {
        let key = (path.to_owned(), purpose);
        if !lock(&self.forwarded).insert(key.clone()) {
            return;
        }
        let (state, forwarded) = (self.state.clone(), self.forwarded.clone());
        self.background.spawn(async move {
            let event = watcher.changed().await;
            lock(&forwarded).remove(&key);
            let is_children = event.event_type == EventType::NodeChildrenChanged;
            let kind = if is_children { WatchKind::Children } else { WatchKind::Node };
            state.watches.fire(&key.0, kind, event.event_type == EventType::NodeDeleted);
        });
    }
}

/// Follows the state of the session to its end, and keeps its thread until then.
async fn follow(mut states: zk::StateWatcher, state: Arc<ConnectionState>, _thread: Arc<Background>) {
    loop {
        match states.changed().await {
            SessionState::SyncConnected => state.set_new(),
            SessionState::Disconnected | SessionState::ConnectedReadOnly => state.set_disconnected(),
            SessionState::AuthFailed => return state.end("the server refuses the credentials"),
            SessionState::Expired | SessionState::Closed => return state.end("the server has expired it"),
        }
    }
}

fn tls_options(pem: &PemFiles) -> Answer<zk::TlsOptions> {
    let unusable = |error: zk::Error| {
        Error::new(ErrorKind::InvalidOption, "the PEM files of the TLS options cannot be used").with_source(error)
    };
    let mut options = zk::TlsOptions::new().with_pem_ca(&pem.ca).map_err(unusable)?;
    if let Some((cert, key)) = &pem.identity {
        options = options.with_pem_identity(cert, key).map_err(unusable)?;
    }
    Ok(options)
}

fn fault(error: zk::Error) -> Fault {
    match error {
        zk::Error::NoNode => Fault::NoNode,
        zk::Error::NodeExists => Fault::NodeExists,
        zk::Error::NotEmpty => Fault::NotEmpty,
        zk::Error::BadVersion => Fault::BadVersion,
        zk::Error::NoAuth | zk::Error::AuthFailed | zk::Error::InvalidAcl => Fault::Denied,
        zk::Error::SessionExpired => session_lost("the server has expired it").into(),
        // Causes of a broken connection, which the crate hands to all requests that were in flight: errors of the socket,
        // silence for too long, and answers that it cannot read. Such a request may have been carried out.
        zk::Error::Custom(_)
        | zk::Error::UnexpectedError(_)
        | zk::Error::UnmarshalError { .. }
        | zk::Error::ConnectionLoss
        | zk::Error::SessionMoved
        | zk::Error::NoHosts
        | zk::Error::Timeout
        | zk::Error::ClientClosed
        | zk::Error::Throttled => unreachable(error).into(),
        zk::Error::NoChildrenForEphemerals => foreign_znode().into(),
        other => unexpected(other).into(),
    }
}

impl From<zk::Stat> for Stat {
    fn from(stat: zk::Stat) -> Self {
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
