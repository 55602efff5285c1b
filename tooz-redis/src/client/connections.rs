//! The connections of one client: requests, renewals, notifications, and requests that wait for replicas.
//!
//! - A renewal has a connection of its own, so it never waits behind a large reply.
//! - fred takes no note of the reply to SUBSCRIBE. If the server refuses one, fred takes the error for the reply to the
//!   next command, and every later reply is off by one. So nothing but subscriptions goes over the connection for
//!   notifications.
//! - WAIT holds up everything behind it, so with the option `replicas` an `enter` has a connection of its own.

use std::time::Duration;

use fred::bytes::Bytes;
use fred::error::Error as FredError;
use fred::interfaces::{ClientInterface, ClientLike, EventInterface, KeysInterface, LuaInterface, PubsubInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, InfoKind, Key, Message, Value};
use tokio::sync::broadcast;
use tooz_core::driver::SessionOptions;
use tooz_core::{Error, ErrorKind, Result};

use super::connection::Connection;
use super::probe::answers_without_tls;
use super::scripts::{Part, Reply, Script, TYPES};
use super::settings::Settings;
use crate::config::Config;
use crate::error::{at_first, from_fred, is_from_elsewhere, timed_out, without_tls, wrong_type};
use crate::layout::escape;

/// How many notifications may wait to be read. More of them are reported as lost, and every follower reads again, so it
/// covers a restart of many members while the process has no processor.
const BACKLOG: usize = 1024;
/// The same for a connection without notifications. fred reserves the room of eight such queues for each connection.
const SMALL_BACKLOG: usize = 8;

/// The connections of one client, for all of its sessions.
#[derive(Debug)]
pub(crate) struct Connections {
    requests: Connection,
    renewals: Connection,
    notifications: Connection,
    replicated: Option<Connection>,
    replicas: u32,
    timeout: Duration,
    address: String,
}

impl Connections {
    /// Connects within the timeout, for a first session with these options.
    pub(crate) async fn open(config: &Config, options: &SessionOptions) -> Result<Self> {
        let timeout = config.socket_timeout.map_or(options.timeout, |own| own.min(options.timeout));
        let settings = Settings::new(config, timeout)?;
        let small = || Connection::open(&settings, SMALL_BACKLOG);
        let replicated = async {
            match config.replicas {
                0 => Ok(None),
                _ => small().await.map(Some),
            }
        };
        let all = async { tokio::try_join!(small(), small(), Connection::open(&settings, BACKLOG), replicated) };
        let opened = tokio::select! {
            opened = tokio::time::timeout(timeout, all) => opened.map_err(|_| timed_out(timeout, &config.address))?,
            () = answers_without_tls(config) => return Err(without_tls(&config.address)),
        };
        let (requests, renewals, notifications, replicated) =
            opened.map_err(|error| at_first(&error, &config.address, config.tls.is_some()))?;
        let (replicas, address) = (config.replicas, config.address.clone());
        let connections = Self { requests, renewals, notifications, replicated, replicas, timeout, address };
        connections.check_version()?;
        connections.set_client_name(&format!("tooz:{}", escape(options.member.as_bytes()))).await;
        connections.warn_of_eviction().await;
        Ok(connections)
    }

    /// How long a request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The version of the server and its address.
    pub(crate) fn server(&self) -> String {
        let version = self.requests.fred.server_version().map(|version| format!(" {version}")).unwrap_or_default();
        format!("Redis{version} at {}", self.address)
    }

    /// Runs a script with one key.
    pub(crate) async fn run(&self, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        self.run_on(&self.requests, script, key, args).await
    }

    /// As [`run`](Self::run); with the option `replicas` it also waits until so many replicas have what was written.
    pub(crate) async fn run_replicated(&self, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        let Some(replicated) = &self.replicated else {
            return self.run(script, key, args).await;
        };
        let reply = self.run_on(replicated, script, key, args).await?;
        // Less than the time of a request, so that the server answers with a count before the driver gives up.
        let wait = (self.timeout * 3 / 4).as_millis().max(1).to_string();
        let slot = ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()));
        let command = CustomCommand::new_static("WAIT", slot, false);
        let reached = replicated.fred.custom(command, vec![self.replicas.to_string(), wait]).await;
        let reached: u32 = self.answered(replicated, reached)?;
        if reached >= self.replicas {
            return Ok(reply);
        }
        let message = format!("{reached} of {} replicas have confirmed the entry in time", self.replicas);
        Err(Error::new(ErrorKind::Unavailable, message).with_context("address", &self.address))
    }

    /// Repeats a script that has done a part of its work only; see `scripts/lib/sessions.lua`.
    async fn run_on(
        &self,
        connection: &Connection,
        script: &'static Script,
        key: &str,
        args: &[&[u8]],
    ) -> Result<Reply> {
        loop {
            let mut reply = match self.run_once(connection, script, key, args).await {
                Err(error) if error.details().contains("WRONGTYPE") => {
                    return Err(self.wrong_types(connection, error, key, args).await);
                }
                result => Reply::new(script.name, parts(self.answered(connection, result)?))?,
            };
            if reply.status() != "MORE" {
                return Ok(reply);
            }
            while let Some(key) = reply.bytes() {
                let key = String::from_utf8_lossy(&key);
                tracing::warn!(%key, "this key, or one that begins so, has a type that the driver does not expect; an entry \
                    of a session that is over was skipped. Remove the key");
            }
        }
    }

    async fn run_once(
        &self,
        connection: &Connection,
        script: &'static Script,
        key: &str,
        args: &[&[u8]],
    ) -> Result<Value, FredError> {
        let text = Bytes::from([&[key.as_bytes()], args].concat().concat());
        let digest = script.digest.get_or_init(|| fred::util::sha1_hash(script.source).into()).clone();
        let (first, values) = slices(&text, key, args);
        match connection.fred.evalsha(digest, first, values).await {
            // It did not run, so it may be sent again, now with its text.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let (first, values) = slices(&text, key, args);
                connection.fred.eval(script.source, first, values).await
            }
            known => known,
        }
    }

    /// The error of a script that met a key of a wrong type, with the key's name. The first argument of such a script is
    /// the session's key.
    async fn wrong_types(&self, connection: &Connection, error: FredError, key: &str, args: &[&[u8]]) -> Error {
        let session = args.first().copied().unwrap_or_default();
        let found = self.run_once(connection, &TYPES, key, &[session]).await.ok();
        let reply = found.and_then(|value| Reply::new(TYPES.name, parts(value)).ok());
        wrong_type(from_fred(&error, &self.address), reply)
    }

    /// Gives a session's key another `ttl` to live, and says whether it was there.
    pub(crate) async fn prolong(&self, key: &str, ttl: Duration) -> Result<bool> {
        let milliseconds = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        self.answered(&self.renewals, self.renewals.fred.pexpire(key, milliseconds, None).await)
    }

    /// Reads a set of byte strings.
    pub(crate) async fn members(&self, key: &str) -> Result<Vec<Vec<u8>>> {
        let command = CustomCommand::new_static("SMEMBERS", ClusterHash::FirstKey, false);
        let members = self.requests.fred.custom(command, vec![key]).await;
        self.answered(&self.requests, members).map_err(|error| error.with_context("key", key))
    }

    /// Sends SUBSCRIBE for channels, and does not wait for the reply; see the top of this file.
    pub(crate) async fn subscribe(&self, channels: Vec<String>) -> Result<()> {
        self.answered(&self.notifications, self.notifications.fred.subscribe(channels).await)
    }

    /// Ends what [`subscribe`](Self::subscribe) began.
    pub(crate) async fn unsubscribe(&self, channels: Vec<String>) -> Result<()> {
        self.answered(&self.notifications, self.notifications.fred.unsubscribe(channels).await)
    }

    /// The messages of all channels.
    pub(crate) fn messages(&self) -> broadcast::Receiver<Message> {
        self.notifications.fred.message_rx()
    }

    /// A signal each time the connection for notifications is made again: its subscriptions are gone then.
    pub(crate) fn reconnections(&self) -> broadcast::Receiver<Server> {
        self.notifications.fred.reconnect_rx()
    }

    /// Makes the connection for notifications again, because none arrive.
    pub(crate) fn reconnect_notifications(&self) {
        self.notifications.reconnect();
    }

    /// Starts the connections again that have given up.
    pub(crate) fn restart(&self) {
        self.all().for_each(Connection::restart);
    }

    /// Whether all of them are there, as far as is known.
    pub(crate) fn are_up(&self) -> bool {
        self.all().all(|connection| connection.fred.is_connected())
    }

    /// Shows `name` in CLIENT LIST. It is for operators only, so a refusal is ignored.
    async fn set_client_name(&self, name: &str) {
        for connection in self.all() {
            let _: Result<(), FredError> = connection.fred.client_setname(name).await;
        }
    }

    /// Warns if the server removes keys when its memory is full, as far as the user may ask.
    async fn warn_of_eviction(&self) {
        let Ok(memory) = self.requests.fred.info::<String>(Some(InfoKind::Memory)).await else { return };
        let value = |name: &str| memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let policy = value("maxmemory_policy").filter(|policy| *policy != "noeviction");
        if let Some(policy) = policy.filter(|_| value("maxmemory") != Some("0")) {
            tracing::warn!(policy, "the server may evict locks when its memory is full; set noeviction");
        }
    }

    fn all(&self) -> impl Iterator<Item = &Connection> {
        [&self.requests, &self.renewals, &self.notifications].into_iter().chain(&self.replicated)
    }

    fn check_version(&self) -> Result<()> {
        match self.requests.fred.server_version() {
            Some(version) if (version.major, version.minor) < (6, 2) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the server is Redis {version}, but 6.2 or newer is needed"),
            )),
            _ => Ok(()),
        }
    }

    /// The error of a request that was given up after `limit`: why there is no connection, or that no reply came.
    pub(crate) fn timeout_error(&self, limit: Duration) -> Error {
        let cause = self.all().find_map(|connection| self.retryable(connection.failure()));
        cause.unwrap_or_else(|| timed_out(limit, &self.address))
    }

    /// The failure of a connection as an error, if it may pass: a request that had no connection may be repeated.
    fn retryable(&self, failure: Option<FredError>) -> Option<Error> {
        failure.map(|failure| from_fred(&failure, &self.address)).filter(Error::is_retryable)
    }

    /// What came over a connection. The driver leaves a wrong server at once, since the right one may be elsewhere now.
    fn answered<T>(&self, connection: &Connection, result: Result<T, FredError>) -> Result<T> {
        result.map_err(|error| {
            if is_from_elsewhere(&error) {
                connection.leave(&error);
            }
            self.retryable(connection.cause(&error)).unwrap_or_else(|| from_fred(&error, &self.address))
        })
    }
}

/// A key and arguments as slices of `text`, which is all of them in a row: fred shares it, where it copies what is borrowed.
fn slices(text: &Bytes, key: &str, args: &[&[u8]]) -> (Key, Vec<Value>) {
    let mut rest = text.clone();
    let mut next = |length| rest.split_to(length);
    (next(key.len()).into(), args.iter().map(|arg| Value::Bytes(next(arg.len()))).collect())
}

/// The elements of a reply, and of the lists in it.
fn parts(value: Value) -> Vec<Part> {
    let mut parts = Vec::new();
    flatten(value, &mut parts);
    parts
}

fn flatten(value: Value, parts: &mut Vec<Part>) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, parts)),
        Value::Integer(number) => parts.push(Part::Number(number)),
        value => parts.push(Part::Bytes(value.into_bytes().unwrap_or_default())),
    }
}
