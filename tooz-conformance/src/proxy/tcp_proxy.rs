//! One proxy: it listens on a port of its own, and its methods inject faults.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::faults::{Faults, State};
use super::forward::forward;
use super::traffic::{Direction, Traffic};
use crate::servers::free_ports;

/// A proxy in front of one address. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    upstream: String,
    state: Arc<State>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Starts a proxy that forwards connections to `upstream`.
    ///
    /// # Errors
    /// The proxy cannot bind a port.
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
        Err(io::Error::other("failed to bind a free port on 127.0.0.1 in 10 attempts"))
    }

    /// The address to connect to.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Resets every connection. New connections are forwarded.
    pub fn cut(&self) {
        self.state.cut_all();
    }

    /// Resets every connection and refuses new ones, like a host without a listener.
    pub fn refuse(&self) {
        if let Some(accepting) = self.accepting().take() {
            accepting.abort();
        }
        self.state.cut_all();
    }

    /// Discards all bytes of a direction without a reset. The connections that lost bytes are reset by [`heal`](Self::heal).
    pub fn black_hole(&self, direction: Direction) {
        self.state.change(|faults| faults.discard(direction));
    }

    /// Forwards requests and discards all replies.
    pub fn drop_replies(&self) {
        self.black_hole(Direction::ToClient);
    }

    /// Discards what the server sends without a request, such as notifications: what it sends 100 ms after the last request of
    /// a connection, or later. The connections that lost bytes are reset by [`heal`](Self::heal).
    pub fn drop_notifications(&self) {
        self.state.change(|faults| faults.loses_notifications = true);
    }

    /// Holds all bytes of a direction back and delivers them at [`heal`](Self::heal), like an interrupted network.
    pub fn hold(&self, direction: Direction) {
        self.state.change(|faults| faults.hold(direction));
    }

    /// Delays every chunk, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.change(|faults| faults.delay = delay);
    }

    /// Forwards `chunks` more chunks to the server (1 is the next one) and then resets the connection of the last one:
    /// after the server has answered it, but before the reply reaches the client. This happens once.
    pub fn cut_after(&self, chunks: u64) {
        self.state.cut_after.store(chunks, Ordering::SeqCst);
    }

    /// Ends all faults.
    ///
    /// # Errors
    /// Another process took the port while connections were refused.
    pub async fn heal(&self) -> io::Result<()> {
        self.state.cut_after.store(0, Ordering::SeqCst);
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

    fn accepting(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner)
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
            // A client whose server is unreachable sees the end of its connection.
            if let Ok(server) = TcpStream::connect(upstream).await {
                forward(client, server, &state).await;
            }
        });
    }
}
