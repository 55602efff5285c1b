//! Forwards TCP connections to a server that can be replaced by another one, and slows down what the server sends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Outcome;

/// How many bytes of the server are forwarded at once.
const CHUNK: usize = 16 << 10;

pub(crate) struct Forwarder {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    upstream: String,
    connections: JoinSet<()>,
}

impl Forwarder {
    /// Each connection waits for `pause` after each 16 kB that the server has sent.
    pub(crate) async fn start(upstream: &str, pause: Duration) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(Mutex::new(State { upstream: upstream.to_owned(), ..State::default() }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut state = shared.lock().expect("no test panics with it");
                let upstream = state.upstream.clone();
                state.connections.spawn(async move {
                    // A connection that ends is no failure of the test.
                    let _ = forward(client, &upstream, pause).await;
                });
            }
        });
        Ok(Self { address, state })
    }

    /// Cuts all connections; new ones go to another server.
    pub(crate) fn switch(&self, upstream: &str) {
        let mut state = self.state.lock().expect("no test panics with it");
        upstream.clone_into(&mut state.upstream);
        state.connections.abort_all();
    }
}

async fn forward(client: TcpStream, upstream: &str, pause: Duration) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(upstream).await?.into_split();
    let downwards = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = from_server.read(&mut chunk).await?;
            if length == 0 {
                return Ok(());
            }
            to_client.write_all(&chunk[..length]).await?;
            if !pause.is_zero() {
                sleep(pause * u32::try_from(length).unwrap_or(u32::MAX) / CHUNK as u32).await;
            }
        }
    };
    tokio::select! {
        outcome = downwards => outcome,
        outcome = copy(&mut from_client, &mut to_server) => outcome.map(drop),
    }
}
