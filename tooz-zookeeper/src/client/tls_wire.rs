//! zookeeper-client 0.11, which knows TLS.
//!
//! It resumes its session, watches and authentication by itself and ends the session when it is dropped.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use zookeeper_client as zk;
use zookeeper_client::{Acls, CreateMode, EventType, OneshotWatcher, SessionState};

use super::dial::Dialer;
use super::link::Link;
use super::probe;
use super::{Answer, Fault, Make, Stat, Target};
use crate::config::Tls;

/// One session of the library.
#[derive(Debug)]
pub(super) struct Wire {
    client: zk::Client,
    link: Arc<Link>,
    authenticated: bool,
    /// The paths with a watcher of the library, by what it is for.
    forwarded: Arc<Mutex<HashSet<(String, &'static str)>>>,
    following: AbortHandle,
}

impl Wire {
    /// A wire, fit for use, and the session timeout that was granted.
    pub(super) async fn connect(target: &Target, link: Arc<Link>) -> Answer<(Self, Duration)> {
        let config = &target.config;
        // The library tries hosts in random order, and waits two fifths of the TTL for one that swallows everything.
        let alive = probe::greet_all(&config.hosts, target.timeout / 2, &Dialer::new(config)?).await?;
        let mut connector = zk::Client::connector().with_session_timeout(target.ttl).with_fail_eagerly();
        if let Some(digest) = &config.digest {
            connector = connector.with_auth("digest", digest.as_bytes());
        }
        let cluster = alive.into_iter().map(|(host, _)| host).collect::<Vec<_>>().join(",");
        let connected = match &config.tls {
            None => connector.connect(&cluster).await,
            Some(tls) => connector.with_tls(options(tls)?).secure_connect(&cluster).await,
        };
        let client = connected.map_err(|error| match fault(error) {
            Fault::Away(cause) | Fault::Other(cause) => Fault::Away(format!("{cluster}: {cause}")),
            fault => fault,
        })?;
        let negotiated = client.session_timeout();
        link.fresh();
        let following = tokio::spawn(follow(client.state_watcher(), link.clone())).abort_handle();
        Ok((
            Self { client, link, authenticated: config.digest.is_some(), forwarded: Arc::default(), following },
            negotiated,
        ))
    }

    /// The library does what a new connection needs.
    #[expect(clippy::unused_async, reason = "the other wire has to wait here")]
    pub(super) async fn greet(&self) -> Answer<()> {
        Ok(())
    }

    pub(super) async fn create(&self, path: &str, data: &[u8], make: Make) -> Answer<(String, Stat)> {
        let mode = match make {
            Make::Persistent => CreateMode::Persistent,
            Make::Ephemeral => CreateMode::Ephemeral,
            Make::PersistentSequential => CreateMode::PersistentSequential,
            Make::EphemeralSequential => CreateMode::EphemeralSequential,
        };
        let acls = if self.authenticated { Acls::creator_all() } else { Acls::anyone_all() };
        let (stat, number) = self.client.create(path, data, &mode.with_acls(acls)).await.map_err(fault)?;
        let path = match make {
            Make::Persistent | Make::Ephemeral => path.to_owned(),
            _ => format!("{path}{number}"),
        };
        Ok((path, stat.into()))
    }

    pub(super) async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()> {
        self.client.delete(path, version).await.map_err(fault)
    }

    pub(super) async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat> {
        self.client.set_data(path, data, version).await.map(Stat::from).map_err(fault)
    }

    pub(super) async fn data(&self, path: &str, watch: bool) -> Answer<(Vec<u8>, Stat)> {
        if !watch {
            return self.client.get_data(path).await.map(|(data, stat)| (data, stat.into())).map_err(fault);
        }
        let (data, stat, watcher) = self.client.get_and_watch_data(path).await.map_err(fault)?;
        self.forward(path, "data", watcher);
        Ok((data, stat.into()))
    }

    pub(super) async fn exists(&self, path: &str, watch: bool) -> Answer<Option<Stat>> {
        if !watch {
            return self.client.check_stat(path).await.map(|stat| stat.map(Stat::from)).map_err(fault);
        }
        let (stat, watcher) = self.client.check_and_watch_stat(path).await.map_err(fault)?;
        self.forward(path, "stat", watcher);
        Ok(stat.map(Stat::from))
    }

    pub(super) async fn children(&self, path: &str, watch: bool) -> Answer<Vec<String>> {
        if !watch {
            return self.client.list_children(path).await.map_err(fault);
        }
        let (children, watcher) = self.client.list_and_watch_children(path).await.map_err(fault)?;
        self.forward(path, "children", watcher);
        Ok(children)
    }

    /// The session ends when the last handle of the library's client is dropped.
    #[expect(clippy::unused_async, reason = "the other wire has to wait here")]
    pub(super) async fn close(&self) -> Answer<()> {
        Ok(())
    }

    /// Rings for an event of one of the library's watchers, which must be kept until then. One for each path is enough,
    /// as the server sees it, and everybody who waits for the path is rung by it.
    fn forward(&self, path: &str, kind: &'static str, watcher: OneshotWatcher) {
        let (link, path) = (self.link.clone(), path.to_owned());
        let (forwarded, key) = (self.forwarded.clone(), (path.clone(), kind));
        if !forwarded.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            return;
        }
        tokio::spawn(async move {
            let event = watcher.changed().await;
            forwarded.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            let children = event.event_type == EventType::NodeChildrenChanged;
            link.watches.ring(&path, children, event.event_type == EventType::NodeDeleted);
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn follow(mut states: zk::StateWatcher, link: Arc<Link>) {
    loop {
        match states.changed().await {
            SessionState::SyncConnected => link.fresh(),
            SessionState::Disconnected | SessionState::ConnectedReadOnly => link.away(),
            SessionState::AuthFailed => return drop(link.end("the server refuses the credentials")),
            SessionState::Expired | SessionState::Closed => return drop(link.end("the server has dropped it")),
        }
    }
}

fn options(tls: &Tls) -> Answer<zk::TlsOptions> {
    let unsound = |error: zk::Error| Fault::Option(format!("the TLS options cannot be used: {error}"));
    let mut options = zk::TlsOptions::new().with_pem_ca(&read(&tls.ca)?).map_err(unsound)?;
    if let Some((cert, key)) = &tls.identity {
        options = options.with_pem_identity(&read(cert)?, &read(key)?).map_err(unsound)?;
    }
    Ok(options)
}

fn read(path: &Path) -> Answer<String> {
    std::fs::read_to_string(path).map_err(|error| Fault::Option(format!("cannot read {}: {error}", path.display())))
}

fn fault(error: zk::Error) -> Fault {
    match error {
        zk::Error::NoNode => Fault::NoNode,
        zk::Error::NodeExists => Fault::NodeExists,
        zk::Error::NotEmpty => Fault::NotEmpty,
        zk::Error::BadVersion => Fault::BadVersion,
        zk::Error::NoAuth | zk::Error::AuthFailed | zk::Error::InvalidAcl => Fault::Denied,
        zk::Error::SessionExpired => Fault::Over("the server has dropped it".to_owned()),
        // Every cause of a broken connection, which the library hands to all requests that were on their way: errors of
        // the socket, silence for too long, and what it cannot read. Whether they were carried out is not known.
        zk::Error::Custom(_)
        | zk::Error::UnexpectedError(_)
        | zk::Error::UnmarshalError { .. }
        | zk::Error::ConnectionLoss
        | zk::Error::SessionMoved
        | zk::Error::NoHosts
        | zk::Error::Timeout
        | zk::Error::ClientClosed
        | zk::Error::Throttled => Fault::Away(error.to_string()),
        other => Fault::Other(other.to_string()),
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
