//! Forwards the bytes of one connection in both directions, subject to the proxy's faults.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::faults::{Faults, State, Treatment};
use super::traffic::Direction;

/// How long a server may take to answer the chunk after which the connection is cut.
const GRACE: Duration = Duration::from_millis(500);

/// What a server sends so long after the last request of the connection is a notification and not an answer.
const QUIET: Duration = Duration::from_millis(100);

/// What the two directions of one connection share.
struct Connection {
    began: Instant,
    /// When the client has sent the last chunk, in milliseconds after the beginning.
    last_request: AtomicU64,
    /// The next reply is discarded and ends the connection.
    last: AtomicBool,
    /// Bytes were discarded, so the connection must be reset when the faults end.
    broken: AtomicBool,
}

impl Connection {
    fn new() -> Self {
        let (last, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { began: Instant::now(), last_request: AtomicU64::new(0), last, broken }
    }

    fn record_request(&self) {
        self.last_request.store(self.age(), Ordering::SeqCst);
    }

    /// Whether a chunk of the server is certainly no answer.
    fn is_quiet(&self) -> bool {
        u128::from(self.age().saturating_sub(self.last_request.load(Ordering::SeqCst))) > QUIET.as_millis()
    }

    fn age(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Forwards until a side ends the connection or the proxy cuts it.
pub(crate) async fn forward(mut client: TcpStream, mut server: TcpStream, state: &State) {
    let mut cuts = state.cuts.subscribe();
    for stream in [&client, &server] {
        // Without this option small requests may be delayed, but they still arrive.
        stream.set_nodelay(true).ok();
    }
    let connection = Connection::new();
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ = cuts.changed() => true,
            end = copy(from_client, to_server, Direction::ToServer, state, &connection) => matches!(end, Ok(End::Cut)),
            end = copy(from_server, to_client, Direction::ToClient, state, &connection) => matches!(end, Ok(End::Cut)),
        }
    };
    if cut {
        for stream in [&client, &server] {
            // If this fails, the connection is closed instead of reset.
            stream.set_zero_linger().ok();
        }
    }
}

/// Why a direction ended.
enum End {
    /// The sender closed the connection.
    Closed,
    /// The proxy cut the connection.
    Cut,
}

async fn copy(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    state: &State,
    connection: &Connection,
) -> io::Result<End> {
    let mut faults = state.faults.subscribe();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = tokio::select! {
            count = from.read(&mut chunk) => count?,
            // A connection that lost bytes cannot be used after the faults end.
            () = all_healed(&mut faults), if connection.broken.load(Ordering::SeqCst) => return Ok(End::Cut),
        };
        if count == 0 {
            return Ok(End::Closed);
        }
        if direction == Direction::ToClient && connection.last.load(Ordering::SeqCst) {
            return Ok(End::Cut);
        }
        let is_notification = direction == Direction::ToClient && connection.is_quiet();
        if direction == Direction::ToServer {
            connection.record_request();
        }
        if !may_pass(&mut faults, direction, is_notification).await {
            connection.broken.store(true, Ordering::SeqCst);
            continue;
        }
        let last = direction == Direction::ToServer && state.is_last_chunk();
        connection.last.fetch_or(last, Ordering::SeqCst);
        state.traffic.count(direction, count);
        to.write_all(&chunk[..count]).await?;
        if last {
            // The other direction ends the connection as soon as the server has answered.
            sleep(GRACE).await;
            return Ok(End::Cut);
        }
    }
}

/// Delays or holds a chunk as the faults require. Returns whether it may pass; if not, it is discarded.
async fn may_pass(faults: &mut Receiver<Faults>, direction: Direction, is_notification: bool) -> bool {
    let delay = faults.borrow().delay;
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let treatment = faults.borrow().treatment(direction);
    match treatment {
        Treatment::Pass => !(is_notification && faults.borrow().loses_notifications),
        Treatment::Discard => false,
        Treatment::Hold => {
            healed(faults, direction).await;
            true
        }
    }
}

/// Waits until bytes of this direction are no longer held or discarded.
async fn healed(faults: &mut Receiver<Faults>, direction: Direction) {
    // The sender lives as long as the connection. If it is gone, no fault is active.
    faults.wait_for(|faults| faults.treatment(direction) == Treatment::Pass).await.ok();
}

/// Waits until no bytes are held or discarded.
async fn all_healed(faults: &mut Receiver<Faults>) {
    faults.wait_for(|faults| !faults.loses_bytes()).await.ok();
}
