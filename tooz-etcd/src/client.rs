//! The endpoints of a session: one client each, one of them in use, the next one after a failure.
//!
//! The etcd client neither leaves a dead endpoint nor notices a frozen one. So every request has a deadline here, and
//! an endpoint that fails is dropped, together with the streams that run over it.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{ConnectOptions, Error as EtcdError, KvClient, LeaseClient, Txn, TxnResponse, WatchClient};
use tokio::sync::watch;
use tokio::time::timeout;
use tooz_core::{Error, ErrorKind, Result};

use crate::config::Config;
use crate::error::from_etcd;

/// Larger than any answer of a sane cluster; the client's own limit of 4 MiB is a group of some thousand members.
const MAX_ANSWER: usize = 512 << 20;

/// The endpoints that a session may use.
pub(crate) struct Client {
    endpoints: Vec<Endpoint>,
    current: AtomicUsize,
    connections: AtomicU64,
    options: ConnectOptions,
    timeout: Duration,
}

struct Endpoint {
    address: String,
    uri: String,
    connection: Mutex<Option<Connection>>,
}

/// A client of one endpoint.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) kv: KvClient,
    pub(crate) lease: LeaseClient,
    pub(crate) watch: WatchClient,
    endpoint: usize,
    id: u64,
    dropped: Arc<watch::Sender<bool>>,
}

impl Client {
    /// Makes no connection yet. `start` chooses the endpoint to begin with, so that clients spread over them.
    pub(crate) fn new(config: &Config, timeout: Duration, start: usize) -> Result<Self> {
        let endpoint = |address: &String| Endpoint {
            address: address.clone(),
            uri: config.uri(address),
            connection: Mutex::default(),
        };
        let endpoints: Vec<_> = config.addresses.iter().map(endpoint).collect();
        let current = AtomicUsize::new(start % endpoints.len().max(1));
        let options = config.connect_options(timeout)?;
        Ok(Self { endpoints, current, connections: AtomicU64::new(0), options, timeout })
    }

    /// How many endpoints there are.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs one transaction.
    pub(crate) async fn txn(&self, txn: Txn) -> Result<TxnResponse> {
        self.call(self.timeout, |mut connection| async move { connection.kv.txn(txn).await }).await
    }

    /// Runs one request at the endpoint in use. If that fails to answer within `limit`, the next call goes to another.
    pub(crate) async fn call<T, F, R>(&self, limit: Duration, request: F) -> Result<T>
    where
        F: FnOnce(Connection) -> R + Send,
        R: Future<Output = Result<T, EtcdError>> + Send,
    {
        let index = self.current.load(Ordering::Relaxed) % self.endpoints.len();
        let endpoint = &self.endpoints[index];
        let existing = lock(&endpoint.connection).clone();
        let mut used = existing.as_ref().map(|connection| connection.id);
        let attempt = async {
            let connection = match existing {
                Some(connection) => connection,
                None => self.connect(index).await?,
            };
            used = Some(connection.id);
            request(connection).await
        };
        let outcome = match timeout(limit, attempt).await {
            Ok(outcome) => outcome.map_err(|error| from_etcd(&error, &endpoint.address)),
            Err(_) => Err(self.too_late(limit, &endpoint.address)),
        };
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::Unavailable
        {
            self.eject(index, used);
        }
        outcome
    }

    /// Drops a connection over which a stream failed, unless that was done already.
    pub(crate) fn drop_connection(&self, connection: &Connection) {
        self.eject(connection.endpoint, Some(connection.id));
    }

    async fn connect(&self, index: usize) -> Result<Connection, EtcdError> {
        let endpoint = &self.endpoints[index];
        let client = etcd_client::Client::connect([&endpoint.uri], Some(self.options.clone())).await?;
        let connection = Connection {
            kv: client.kv_client().max_decoding_message_size(MAX_ANSWER),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(MAX_ANSWER),
            endpoint: index,
            id: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            dropped: Arc::default(),
        };
        // Another task may have connected meanwhile; then there is one connection only, theirs.
        Ok(lock(&endpoint.connection).get_or_insert(connection).clone())
    }

    fn eject(&self, index: usize, id: Option<u64>) {
        let mut connection = lock(&self.endpoints[index].connection);
        if connection.as_ref().map(|connection| connection.id) != id {
            return;
        }
        if let Some(connection) = connection.take() {
            connection.dropped.send_replace(true);
        }
        let next = (index + 1) % self.endpoints.len();
        // It fails if another request has moved on already.
        let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn too_late(&self, limit: Duration, address: &str) -> Error {
        Error::new(ErrorKind::Unavailable, format!("etcd did not answer within {limit:?}"))
            .with_context("address", address)
    }
}

impl Connection {
    /// Tells this connection from all others of the session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Resolves when the endpoint is given up: streams over this connection are not to be trusted then.
    pub(crate) async fn dropped(&self) {
        // The sender lives as long as `self`.
        let _ = self.dropped.subscribe().wait_for(|dropped| *dropped).await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.endpoints.iter().map(|endpoint| &endpoint.address).collect();
        f.debug_struct("Client").field("endpoints", &addresses).finish_non_exhaustive()
    }
}

/// A poisoned mutex guards a value that is replaced whole, so it is sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
