//! Everything that is fred's, behind one seam with `link.rs`: connections, scripts, subscriptions.
//!
//! A session has two connections. fred takes no note of the reply to SUBSCRIBE: if the server refuses one, the error is
//! taken for the reply to the next command, and every later reply is off by one. So nothing but subscriptions goes over
//! the connection for news, and no reply to a lock can ever be mistaken for another.

use std::time::Duration;

use fred::bytes::Bytes;
use fred::error::Error as FredError;
use fred::interfaces::{ClientInterface, ClientLike, EventInterface, KeysInterface, LuaInterface, PubsubInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, InfoKind, Key, Message, Value};
use tokio::sync::broadcast;
use tooz_core::{Error, ErrorKind, Result};

use crate::config::Config;
use crate::error::{from_fred, is_from_elsewhere, timed_out};
use crate::link::{BACKLOG, FEW, Link, Settings};
use crate::script::{Part, Reply, Script};

/// The connections of one session.
#[derive(Debug)]
pub(crate) struct Client {
    commands: Link,
    /// WAIT holds up everything behind it, so what must wait for replicas has a connection of its own.
    grants: Option<Link>,
    news: Link,
    replicas: u32,
    timeout: Duration,
    address: String,
}

impl Client {
    /// Connects within `timeout`.
    pub(crate) async fn connect(config: &Config, timeout: Duration) -> Result<Self> {
        let timeout = config.socket_timeout.map_or(timeout, |own| own.min(timeout));
        let settings = Settings::new(config, timeout)?;
        let grants = async {
            match config.replicas {
                0 => Ok(None),
                _ => Link::open(&settings, FEW).await.map(Some),
            }
        };
        let all = async { tokio::try_join!(Link::open(&settings, FEW), grants, Link::open(&settings, BACKLOG)) };
        let limited = tokio::time::timeout(timeout, all).await;
        let (commands, grants, news) = limited
            .map_err(|_| timed_out(timeout, &config.address))?
            .map_err(|error| from_fred(&error, &config.address))?;
        let client =
            Self { commands, grants, news, replicas: config.replicas, timeout, address: config.address.clone() };
        client.check_version()?;
        Ok(client)
    }

    /// How long a request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs a script with one key.
    pub(crate) async fn run(&self, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        self.run_on(&self.commands, script, key, args).await
    }

    /// As [`run`](Self::run); with the option `replicas` it also waits until so many replicas have what was written.
    pub(crate) async fn run_replicated(&self, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        let Some(grants) = &self.grants else {
            return self.run(script, key, args).await;
        };
        let reply = self.run_on(grants, script, key, args).await?;
        // Less than the request's own time, so that the answer is a count rather than silence.
        let wait = (self.timeout * 3 / 4).as_millis().max(1).to_string();
        let slot = ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()));
        let command = CustomCommand::new_static("WAIT", slot, false);
        let reached: u32 =
            self.answered(grants, grants.fred.custom(command, vec![self.replicas.to_string(), wait]).await)?;
        if reached >= self.replicas {
            return Ok(reply);
        }
        let message = format!("{reached} of {} replicas have confirmed the entry in time", self.replicas);
        Err(Error::new(ErrorKind::Unavailable, message).with_context("address", &self.address))
    }

    async fn run_on(&self, link: &Link, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        let text = Bytes::from([&[key.as_bytes()], args].concat().concat());
        let digest = script.digest.get_or_init(|| fred::util::sha1_hash(script.source).into()).clone();
        let (first, values) = slices(&text, key, args);
        let cached: Result<Value, FredError> = link.fred.evalsha(digest, first, values).await;
        let value = match cached {
            // It did not run, so it may be sent again, this time with its text.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let (first, values) = slices(&text, key, args);
                link.fred.eval(script.source, first, values).await
            }
            known => known,
        };
        Reply::new(script.name, parts(self.answered(link, value)?))
    }

    /// Gives a key another `ttl` to live, and says whether it was there.
    pub(crate) async fn prolong(&self, key: &str, ttl: Duration) -> Result<bool> {
        let milliseconds = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        self.answered(&self.commands, self.commands.fred.pexpire(key, milliseconds, None).await)
    }

    /// Reads a set of byte strings.
    pub(crate) async fn members(&self, key: &str) -> Result<Vec<Vec<u8>>> {
        let command = CustomCommand::new_static("SMEMBERS", ClusterHash::FirstKey, false);
        self.answered(&self.commands, self.commands.fred.custom(command, vec![key]).await)
    }

    /// Asks for the messages of channels. The server's answer is not waited for; see the top of this file.
    pub(crate) async fn subscribe(&self, channels: Vec<String>) -> Result<()> {
        self.answered(&self.news, self.news.fred.subscribe(channels).await)
    }

    /// Ends what [`subscribe`](Self::subscribe) began.
    pub(crate) async fn unsubscribe(&self, channels: Vec<String>) -> Result<()> {
        self.answered(&self.news, self.news.fred.unsubscribe(channels).await)
    }

    /// The messages of all channels.
    pub(crate) fn messages(&self) -> broadcast::Receiver<Message> {
        self.news.fred.message_rx()
    }

    /// A signal each time the connection for news is made anew: its subscriptions are gone then.
    pub(crate) fn reconnections(&self) -> broadcast::Receiver<Server> {
        self.news.fred.reconnect_rx()
    }

    /// Makes the connection for news anew, because it is silent.
    pub(crate) fn renew_news(&self) {
        self.news.move_on();
    }

    /// Starts again what has given up, as fred does when the password is refused on the way back.
    pub(crate) fn revive(&self) {
        self.links().for_each(Link::revive);
    }

    /// Shows `name` in CLIENT LIST. For people only, so a server that refuses is left alone.
    pub(crate) async fn introduce(&self, name: &str) {
        for link in self.links() {
            let _: Result<(), FredError> = link.fred.client_setname(name).await;
        }
    }

    /// What the server does when its memory is full, if it has a limit and tells.
    pub(crate) async fn eviction_policy(&self) -> Option<String> {
        let memory: String = self.commands.fred.info(Some(InfoKind::Memory)).await.ok()?;
        let value = |name: &str| memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        (value("maxmemory")? != "0").then(|| value("maxmemory_policy").map(str::to_owned))?
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        [Some(&self.commands), self.grants.as_ref(), Some(&self.news)].into_iter().flatten()
    }

    fn check_version(&self) -> Result<()> {
        match self.commands.fred.server_version() {
            Some(version) if (version.major, version.minor) < (6, 2) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the server is Redis {version}, but 6.2 or newer is needed"),
            )),
            _ => Ok(()),
        }
    }

    /// The error of what was given up after `limit`: why there is no connection, or that nobody answered.
    pub(crate) fn silence(&self, limit: Duration) -> Error {
        self.links().find_map(|link| self.passing(link.trouble())).unwrap_or_else(|| timed_out(limit, &self.address))
    }

    /// As an error if it may pass: what waited for a connection may be repeated in any case.
    fn passing(&self, trouble: Option<FredError>) -> Option<Error> {
        trouble.map(|trouble| from_fred(&trouble, &self.address)).filter(Error::is_retryable)
    }

    /// What came over `link`. A server that is the wrong one is left at once, since the right one may be elsewhere now.
    fn answered<T>(&self, link: &Link, result: Result<T, FredError>) -> Result<T> {
        result.map_err(|error| {
            if is_from_elsewhere(&error) {
                link.leave(&error);
            }
            self.passing(link.reason(&error)).unwrap_or_else(|| from_fred(&error, &self.address))
        })
    }
}

/// A key and arguments as slices of the one `text` that they make: fred shares it, where it copies what is borrowed.
fn slices(text: &Bytes, key: &str, args: &[&[u8]]) -> (Key, Vec<Value>) {
    let mut rest = text.clone();
    let mut next = |length| rest.split_to(length);
    (next(key.len()).into(), args.iter().map(|arg| Value::Bytes(next(arg.len()))).collect())
}

fn parts(value: Value) -> Vec<Part> {
    let part = |value: Value| match value {
        Value::Integer(number) => Part::Number(number),
        value => Part::Bytes(value.into_bytes().unwrap_or_default()),
    };
    match value {
        Value::Array(values) => values.into_iter().map(part).collect(),
        value => vec![part(value)],
    }
}
