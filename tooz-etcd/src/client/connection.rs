//! The connection of a session: to one endpoint, and to the next one after a failure.
//!
//! The client crate neither leaves a dead endpoint nor notices a frozen one. So every request has a deadline here, and a
//! connection that fails is dropped, together with the streams that run over it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use etcd_client::{ConnectOptions, Error as EtcdError, KeyValue, KvClient, LeaseClient, Txn, TxnOp, WatchClient};
use tokio::sync::watch;
use tokio::time::timeout;
use tooz_core::driver::Nonce;
use tooz_core::driver::support::{no_answer, session_closed};
use tooz_core::{ErrorKind, Result};

use super::connect_options::connect_options;
use super::history::History;
use super::txn::Answer;
use crate::config::Config;
use crate::error::{from_etcd, history_lost, unexpected_answer};

/// Larger than any answer of a sane cluster; a group of some thousand members exceeds the client crate's own limit, 4 MiB.
const MAX_ANSWER: usize = 512 << 20;

/// Sends requests, over one connection at a time.
pub(crate) struct Client {
    config: Config,
    options: ConnectOptions,
    current: watch::Sender<Current>,
    /// How long one request may take.
    pub(crate) timeout: Duration,
    pub(super) history: Arc<History>,
    /// The history of the session, once it has begun.
    session_history: OnceLock<u64>,
    closed: AtomicBool,
}

/// The connection in use. Connections are numbered, and the number chooses the endpoint.
#[derive(Clone)]
struct Current {
    number: usize,
    connection: Option<Connection>,
}

/// A connection to one endpoint.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) number: usize,
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) watch: WatchClient,
}

impl Client {
    /// Makes no connection yet. The first endpoint is a random one, so that clients spread over them.
    pub(crate) fn new(config: &Config, history: Arc<History>, timeout: Duration) -> Result<Self> {
        let number = Nonce::random().0 as usize % config.addresses.len();
        let (options, config) = (connect_options(config, timeout)?, config.clone());
        let current = watch::Sender::new(Current { number, connection: None });
        let (session_history, closed) = Default::default();
        Ok(Self { config, options, current, timeout, history, session_history, closed })
    }

    /// How many endpoints there are besides the one in use.
    pub(crate) fn others(&self) -> u32 {
        u32::try_from(self.config.addresses.len()).unwrap_or(u32::MAX) - 1
    }

    /// The addresses of all endpoints.
    pub(crate) fn addresses(&self) -> String {
        self.config.addresses.join(", ")
    }

    /// The number of the session's history. The first call binds the session to the present one: it ends when the driver
    /// notices another.
    pub(crate) fn session_history(&self) -> u64 {
        *self.session_history.get_or_init(|| self.history.number())
    }

    /// Refuses all further transactions, renewals and watches.
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

    /// Runs one read as a transaction, and returns what it found.
    pub(crate) async fn read(&self, read: TxnOp) -> Result<Vec<KeyValue>> {
        self.txn(Txn::new().and_then([read])).await?.next_read()
    }

    /// Runs one transaction.
    pub(crate) async fn txn(&self, txn: Txn) -> Result<Answer> {
        self.check_session()?;
        let seen = self.history.seen();
        let response = self.call(self.timeout, |mut connection| async move { connection.kv.txn(txn).await }).await?;
        self.history.observe(seen, response.header().ok_or_else(unexpected_answer)?);
        self.check_session()?;
        Answer::new(&response)
    }

    /// Runs one request over the present connection. If it gets no answer within `limit`, the next call uses the next
    /// endpoint.
    pub(super) async fn call<T, F, R>(&self, limit: Duration, request: F) -> Result<T>
    where
        F: FnOnce(Connection) -> R + Send,
        R: Future<Output = Result<T, EtcdError>> + Send,
    {
        let Current { number, connection } = self.current.borrow().clone();
        let address = self.address(number);
        let attempt = async {
            request(match connection {
                Some(connection) => connection,
                None => self.connect(number).await?,
            })
            .await
        };
        let outcome = match timeout(limit, attempt).await {
            Ok(outcome) => outcome.map_err(|error| from_etcd(&error, address)),
            Err(_) => Err(no_answer("etcd", limit).with_context("address", address)),
        };
        if matches!(&outcome, Err(error) if error.kind() == ErrorKind::Unavailable) {
            self.drop_connection(number);
        }
        outcome
    }

    /// Moves on to the next endpoint, unless that was done already since the connection with this number.
    pub(super) fn drop_connection(&self, number: usize) {
        self.current.send_if_modified(|current| {
            let is_current = current.number == number;
            if is_current {
                *current = Current { number: number.wrapping_add(1), connection: None };
            }
            is_current
        });
    }

    /// Drops the connection in use.
    pub(crate) fn disconnect(&self) {
        let number = self.current.borrow().number;
        self.drop_connection(number);
    }

    /// Resolves when the connection with this number was dropped; streams over it cannot be trusted from then on.
    pub(super) async fn dropped(&self, number: usize) {
        // The sender lives as long as `self`.
        let _ = self.current.subscribe().wait_for(|current| current.number != number).await;
    }

    fn address(&self, number: usize) -> &str {
        &self.config.addresses[number % self.config.addresses.len()]
    }

    async fn connect(&self, number: usize) -> Result<Connection, EtcdError> {
        let uri = self.config.uri(self.address(number));
        let client = etcd_client::Client::connect([uri], Some(self.options.clone())).await?;
        let mut connection = Connection {
            number,
            kv: client.kv_client().max_decoding_message_size(MAX_ANSWER),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(MAX_ANSWER),
        };
        self.current.send_if_modified(|current| {
            if current.number == number {
                // Another task may have connected meanwhile; then both use its connection.
                connection = current.connection.get_or_insert(connection.clone()).clone();
            }
            false
        });
        Ok(connection)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}
