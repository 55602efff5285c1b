//! A Redis server for one test, started on a free loopback port, and short ways to use it.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod fixture;
pub(crate) mod outage;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::prelude::*;
use fred::types::CustomCommand;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tooz_core::driver::{
    Driver, IfBlocked, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, SessionOptions, Standing, Ticket,
};
use tooz_core::{Name, Registry, Result};

pub(crate) const TIMEOUT: Duration = Duration::from_millis(1500);
pub(crate) const TTL: Duration = Duration::from_secs(4);

/// A running server; it ends with the value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) directory: PathBuf,
    settings: Vec<String>,
}

impl Server {
    /// Starts one with further settings, as on the command line, and waits until it answers. A setting `FREE` means
    /// another free port.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        // Another process may take a port between its choice and the server's start.
        for _ in 0..4 {
            let [port, other] = free_ports();
            let directory = std::env::temp_dir().join(format!("tooz-redis-test-{port}"));
            std::fs::create_dir_all(&directory).unwrap();
            let filled = |setting: &&str| if *setting == "FREE" { other.to_string() } else { (*setting).to_owned() };
            let settings: Vec<String> = settings.iter().map(filled).collect();
            let child = spawn(port, &directory, &settings);
            let mut server = Self { child, port, directory, settings };
            if server.is_ready().await {
                return server;
            }
        }
        panic!("redis-server does not start with {settings:?}");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// As kill -9 does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same port.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// Starts it again with settings besides the first ones.
    pub(crate) async fn restart_with(&mut self, further: &[&str]) {
        self.settings.extend(further.iter().map(|setting| (*setting).to_owned()));
        self.child = spawn(self.port, &self.directory, &self.settings);
        assert!(self.is_ready().await, "redis-server ended on port {}", self.port);
    }

    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Sends a command and gives back the reply, also an error.
    pub(crate) async fn ask(&self, words: &[&str]) -> Result<Value, Error> {
        let client = self.plain().await;
        let (first, rest) = words.split_first().unwrap();
        let reply = client.custom(CustomCommand::new((*first).to_owned(), None, false), rest.to_vec()).await;
        client.quit().await.ok();
        reply
    }

    /// A client without any of the driver's settings.
    pub(crate) async fn plain(&self) -> Client {
        let config = Config::from_url(&self.url()).unwrap();
        let client = Client::new(config, None, None, None);
        client.init().await.unwrap();
        client
    }

    /// The keys that fit a pattern.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        let Value::Array(keys) = self.ask(&["KEYS", pattern]).await.unwrap() else { panic!("KEYS gives a list") };
        keys.into_iter().filter_map(Value::into_string).collect()
    }

    pub(crate) async fn session(&self, member: &str) -> Box<dyn Session> {
        open(&self.url(), member).await.unwrap()
    }

    /// Waits until it can be reached, or has ended.
    async fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "redis-server did not start on port {}", self.port);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// Two that differ.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn spawn(port: u16, directory: &std::path::Path, settings: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(directory)
        .args(settings)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server must be on PATH: install the package redis-server, or valkey with that name")
}

/// Sends a line to a server, also one that answers nothing else, and gives back the first line of the reply.
pub(crate) async fn raw(port: u16, command: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut reply = String::new();
    tokio::io::BufReader::new(stream).read_line(&mut reply).await.unwrap();
    reply.trim_end().to_owned()
}

/// A section of INFO.
pub(crate) async fn info(port: u16, section: &str) -> String {
    let client = Client::new(Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap(), None, None, None);
    client.init().await.unwrap();
    client.custom(CustomCommand::new_static("INFO", None, false), vec![section]).await.unwrap()
}

pub(crate) async fn open(url: &str, member: &str) -> Result<Box<dyn Session>> {
    open_for(url, member, TTL).await
}

/// Opens a session that lives for `ttl` without a renewal.
pub(crate) async fn open_for(url: &str, member: &str, ttl: Duration) -> Result<Box<dyn Session>> {
    let driver = Registry::with([tooz_redis::DRIVER]).driver(&url.parse()?)?;
    let options = SessionOptions::new("test", Name::new(member)?, ttl, TIMEOUT);
    driver.open(&options).await
}

/// A driver that opens several sessions.
pub(crate) fn driver(url: &str) -> Arc<dyn Driver> {
    Registry::with([tooz_redis::DRIVER]).driver(&url.parse().unwrap()).unwrap()
}

/// Opens a session of this driver that lives for `ttl` without a renewal.
pub(crate) async fn open_with(driver: &Arc<dyn Driver>, ttl: Duration) -> Box<dyn Session> {
    let options = SessionOptions::new("test", Name::new("a").unwrap(), ttl, TIMEOUT);
    insist(TTL, || driver.open(&options)).await.unwrap()
}

pub(crate) fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub(crate) fn lock(text: &str) -> Roster {
    Roster { kind: Kind::Lock, name: name(text) }
}

pub(crate) fn exclusive(nonce: Nonce) -> NewEntry<'static> {
    NewEntry {
        nonce,
        key: Key::Nonce,
        mode: Mode::Exclusive,
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Wait,
        needs_declared: false,
        value: b"",
    }
}

pub(crate) async fn acquire(session: &dyn Session, roster: &Roster) -> Result<Ticket> {
    match session.enter(roster, exclusive(Nonce::random())).await? {
        Standing::Admitted(ticket) => Ok(ticket),
        Standing::Waiting { ticket, .. } => session.await_turn(roster, &ticket).await.map(|()| ticket),
        other => panic!("the entry was to be admitted or to wait, but it is {other:?}"),
    }
}

/// Repeats what fails as unavailable, as core does, for at most `limit`.
pub(crate) async fn insist<T, F: Future<Output = Result<T>>>(
    limit: Duration,
    mut request: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match request().await {
            Err(error) if error.is_retryable() && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            result => return result,
        }
    }
}
