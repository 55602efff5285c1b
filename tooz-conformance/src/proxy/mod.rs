//! A TCP proxy on loopback that does to connections what networks do.
//!
//! What is said to a [`Proxy`] holds for all its connections, present and future, until [`heal`](Proxy::heal).

mod faults;
mod pump;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use self::faults::{Faults, State};
use crate::servers::free_ports;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

/// What has passed through a proxy, refused and swallowed bytes excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes from clients to the server.
    pub bytes_to_server: u64,
    /// Bytes from the server to clients.
    pub bytes_to_client: u64,
    /// Reads from clients that were forwarded. One may hold several pipelined requests.
    pub chunks_to_server: u64,
    /// Reads from the server that were forwarded.
    pub chunks_to_client: u64,
    /// Connections that were accepted.
    pub connections: u64,
}

/// A proxy in front of one address; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    upstream: String,
    state: Arc<State>,
    accepting: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Forwards connections to `upstream`, from a port of its own.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(upstream: impl Into<String>) -> io::Result<Self> {
        let upstream = upstream.into();
        for _ in 0..10 {
            let port = free_ports(1)?[0];
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
                let state = Arc::new(State::default());
                let accepting = Some(tokio::spawn(accept(listener, upstream.clone(), state.clone())));
                return Ok(Self { port, upstream, state, accepting: accepting.into() });
            }
        }
        Err(io::Error::other("every port that was free was taken at once"))
    }

    /// The address to connect to.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Cuts every connection now, as a reset; new ones are served.
    pub fn cut(&self) {
        self.state.cut_all();
    }

    /// Cuts every connection, and refuses new ones as if nobody listened.
    pub fn refuse(&self) {
        if let Some(accepting) = self.accepting().take() {
            accepting.abort();
        }
        self.state.cut_all();
    }

    /// Swallows all bytes, without a reset. What was swallowed is lost, so its connections are cut when healed.
    pub fn black_hole(&self, direction: Direction) {
        self.state.change(|faults| faults.swallow(direction));
    }

    /// Lets requests through and swallows all replies, as [`black_hole`](Self::black_hole) to the client.
    pub fn drop_replies(&self) {
        self.black_hole(Direction::ToClient);
    }

    /// Holds all bytes back and delivers them when healed, as a network does that was interrupted for a while.
    pub fn hold(&self, direction: Direction) {
        self.state.change(|faults| faults.hold(direction));
    }

    /// Delays every chunk, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.change(|faults| faults.delay = delay);
    }

    /// Lets `chunks` more chunks (1 is the very next) pass to the server and then cuts the connection of the last one,
    /// after the server has answered it, and without its reply reaching the client. Happens once.
    pub fn cut_after(&self, chunks: u64) {
        self.state.fuse.store(chunks, Ordering::SeqCst);
    }

    /// Ends all faults.
    ///
    /// # Errors
    /// The port has been taken while connections were refused.
    pub async fn heal(&self) -> io::Result<()> {
        self.state.fuse.store(0, Ordering::SeqCst);
        self.state.change(|faults| *faults = Faults::default());
        let refusing = self.accepting().is_none();
        if refusing {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
            *self.accepting() = Some(tokio::spawn(accept(listener, self.upstream.clone(), self.state.clone())));
        }
        Ok(())
    }

    /// What has passed so far.
    pub fn traffic(&self) -> Traffic {
        self.state.traffic.read()
    }

    fn accepting(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.accepting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

async fn accept(listener: TcpListener, upstream: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        state.traffic.connections.fetch_add(1, Ordering::Relaxed);
        let (upstream, state) = (upstream.clone(), state.clone());
        tokio::spawn(async move {
            // Whoever cannot reach the server is told so by the end of the connection.
            if let Ok(server) = TcpStream::connect(upstream).await {
                pump::forward(client, server, &state).await;
            }
        });
    }
}

/// The proxies of one backend, one for each address.
#[derive(Debug)]
pub struct Proxies(Vec<Proxy>);

impl Proxies {
    pub(crate) fn new(proxies: Vec<Proxy>) -> Self {
        Self(proxies)
    }

    /// One by one, in the order of the addresses.
    pub fn each(&self) -> &[Proxy] {
        &self.0
    }

    /// As [`Proxy::cut`], for all.
    pub fn cut(&self) {
        self.0.iter().for_each(Proxy::cut);
    }

    /// As [`Proxy::refuse`], for all.
    pub fn refuse(&self) {
        self.0.iter().for_each(Proxy::refuse);
    }

    /// As [`Proxy::black_hole`], for all.
    pub fn black_hole(&self, direction: Direction) {
        self.0.iter().for_each(|proxy| proxy.black_hole(direction));
    }

    /// As [`Proxy::drop_replies`], for all.
    pub fn drop_replies(&self) {
        self.0.iter().for_each(Proxy::drop_replies);
    }

    /// As [`Proxy::hold`], for all.
    pub fn hold(&self, direction: Direction) {
        self.0.iter().for_each(|proxy| proxy.hold(direction));
    }

    /// As [`Proxy::delay`], for all.
    pub fn delay(&self, delay: Duration) {
        self.0.iter().for_each(|proxy| proxy.delay(delay));
    }

    /// As [`Proxy::cut_after`], for all; each has its own count.
    pub fn cut_after(&self, chunks: u64) {
        self.0.iter().for_each(|proxy| proxy.cut_after(chunks));
    }

    /// As [`Proxy::heal`], for all.
    ///
    /// # Errors
    /// As there.
    pub async fn heal(&self) -> io::Result<()> {
        for proxy in &self.0 {
            proxy.heal().await?;
        }
        Ok(())
    }

    /// What has passed through all of them.
    pub fn traffic(&self) -> Traffic {
        let all = self.0.iter().map(Proxy::traffic);
        all.fold(Traffic::default(), |sum, one| Traffic {
            bytes_to_server: sum.bytes_to_server + one.bytes_to_server,
            bytes_to_client: sum.bytes_to_client + one.bytes_to_client,
            chunks_to_server: sum.chunks_to_server + one.chunks_to_server,
            chunks_to_client: sum.chunks_to_client + one.chunks_to_client,
            connections: sum.connections + one.connections,
        })
    }
}
