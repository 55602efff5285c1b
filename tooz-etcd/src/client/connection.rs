//! The endpoints of a session: one connection to each, one of them in use, the next one after a failure.
//!
//! The client crate neither leaves a dead endpoint nor notices a frozen one. So every request has a deadline here, and
//! an endpoint that fails is dropped, together with the streams that run over it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use etcd_client::{ConnectOptions, Error as EtcdError, KvClient, LeaseClient, Txn, WatchClient};
use tokio::sync::watch;
use tokio::time::timeout;
use tooz_core::driver::Nonce;
use tooz_core::driver::support::{lock, session_closed};
use tooz_core::{Error, ErrorKind, Result};

use super::connect_options::connect_options;
use super::history::History;
use super::txn::Answer;
use crate::config::Config;
use crate::error::{from_etcd, history_lost, unexpected_answer};

/// Larger than any answer of a sane cluster; a group of some thousand members exceeds the client crate's own limit, 4 MiB.
const MAX_ANSWER: usize = 512 << 20;

/// The endpoints that a session may use.
pub(crate) struct Client {
    endpoints: Vec<Endpoint>,
    current: AtomicUsize,
    connections: AtomicU64,
    options: ConnectOptions,
    /// How long one request may take.
    pub(crate) timeout: Duration,
    pub(super) history: Arc<History>,
    /// The history of the session, once it has begun.
    session_history: OnceLock<u64>,
    closed: AtomicBool,
}

struct Endpoint {
    address: String,
    uri: String,
    connection: Mutex<Option<Connection>>,
}

/// A connection to one endpoint.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) watch: WatchClient,
    endpoint: usize,
    id: u64,
    dropped: Arc<watch::Sender<bool>>,
}

impl Client {
    /// Makes no connection yet. The first endpoint is a random one, so that clients spread over them.
    pub(crate) fn new(config: &Config, history: Arc<History>, timeout: Duration) -> Result<Self> {
        let endpoint = |address: &String| Endpoint {
            address: address.clone(),
            uri: config.uri(address),
            connection: Mutex::default(),
        };
        let endpoints: Vec<_> = config.addresses.iter().map(endpoint).collect();
        let current = AtomicUsize::new(Nonce::random().0 as usize % endpoints.len().max(1));
        let options = connect_options(config, timeout)?;
        let (connections, session_history, closed) = Default::default();
        Ok(Self { endpoints, current, connections, options, timeout, history, session_history, closed })
    }

    /// How many endpoints there are.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// The addresses of all endpoints.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<_> = self.endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
        addresses.join(", ")
    }

    /// Binds the session to the present history: it ends when the driver notices another one.
    pub(crate) fn begin_session(&self) {
        self.session_history();
    }

    /// The number of the session's history.
    pub(crate) fn session_history(&self) -> u64 {
        *self.session_history.get_or_init(|| self.history.number())
    }

    /// Refuses all further transactions and renewals.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// # Errors
    /// `SessionLost` if the session was closed or belongs to another history.
    pub(super) fn check_session(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(session_closed());
        }
        let same = self.session_history.get().is_none_or(|number| *number == self.history.number());
        if same { Ok(()) } else { Err(history_lost()) }
    }

    /// Runs one transaction.
    pub(crate) async fn txn(&self, txn: Txn) -> Result<Answer> {
        self.txn_within(self.timeout, txn).await
    }

    /// As [`txn`](Self::txn), with another time limit.
    pub(crate) async fn txn_within(&self, limit: Duration, txn: Txn) -> Result<Answer> {
        self.check_session()?;
        let seen = self.history.seen();
        let response = self.call(limit, |mut connection| async move { connection.kv.txn(txn).await }).await?;
        self.history.observe(seen, response.header().ok_or_else(unexpected_answer)?);
        self.check_session()?;
        Answer::new(&response)
    }

    /// Runs one request at the endpoint in use. If it gets no answer within `limit`, the next call uses the next endpoint.
    pub(super) async fn call<T, F, R>(&self, limit: Duration, request: F) -> Result<T>
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
            Err(_) => {
                let message = format!("etcd did not answer within {limit:?}");
                Err(Error::new(ErrorKind::Unavailable, message).with_context("address", &endpoint.address))
            }
        };
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::Unavailable
        {
            self.eject(index, used);
        }
        outcome
    }

    /// Drops a connection over which a stream failed, unless that was done already.
    pub(super) fn drop_connection(&self, connection: &Connection) {
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
        // Another task may have connected meanwhile; then both use its connection.
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
}

impl Connection {
    /// Identifies this connection among all of the client.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Resolves when the client drops the connection; streams over it cannot be trusted from then on.
    pub(super) async fn dropped(&self) {
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
