//! Moves the bytes of one connection, both ways, under the proxy's faults.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::Direction;
use super::faults::{Fate, Faults, State};

/// How long a server may take to answer the chunk after which the connection is cut.
const GRACE: Duration = Duration::from_millis(500);

/// What both directions of one connection know.
#[derive(Default)]
struct Link {
    /// No reply may reach the client any more, and the next one ends the connection.
    last: AtomicBool,
    /// Bytes were swallowed, so the connection cannot be healed.
    broken: AtomicBool,
}

/// Forwards until either side ends, or the proxy cuts the connection.
pub(crate) async fn forward(mut client: TcpStream, mut server: TcpStream, state: &State) {
    let mut cuts = state.cuts.subscribe();
    for stream in [&client, &server] {
        // Without it small requests may wait for each other; they arrive all the same.
        stream.set_nodelay(true).ok();
    }
    let link = Link::default();
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ = cuts.changed() => true,
            end = pump(from_client, to_server, Direction::ToServer, state, &link) => matches!(end, Ok(End::Cut)),
            end = pump(from_server, to_client, Direction::ToClient, state, &link) => matches!(end, Ok(End::Cut)),
        }
    };
    if cut {
        for stream in [&client, &server] {
            // A socket that is closed in the usual way is a cut too, only less rude.
            stream.set_zero_linger().ok();
        }
    }
}

/// Why a direction ended.
enum End {
    /// Its sender closed it.
    Closed,
    /// The proxy broke it.
    Cut,
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    state: &State,
    link: &Link,
) -> io::Result<End> {
    let mut faults = state.faults.subscribe();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = tokio::select! {
            count = from.read(&mut chunk) => count?,
            // A connection that has lost bytes is useless once the network is whole again.
            () = healed(&mut faults, direction), if link.broken.load(Ordering::SeqCst) => return Ok(End::Cut),
        };
        if count == 0 {
            return Ok(End::Closed);
        }
        if direction == Direction::ToClient && link.last.load(Ordering::SeqCst) {
            return Ok(End::Cut);
        }
        let delay = faults.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let fate = faults.borrow().fate(direction);
        match fate {
            Fate::Pass => {}
            Fate::Swallow => {
                link.broken.store(true, Ordering::SeqCst);
                continue;
            }
            Fate::Hold => healed(&mut faults, direction).await,
        }
        let last = direction == Direction::ToServer && state.burns_down();
        link.last.fetch_or(last, Ordering::SeqCst);
        state.traffic.count(direction, count);
        to.write_all(&chunk[..count]).await?;
        if last {
            // The other direction ends the connection as soon as the server has answered.
            sleep(GRACE).await;
            return Ok(End::Cut);
        }
    }
}

/// Waits until bytes of this direction pass again.
async fn healed(faults: &mut Receiver<Faults>, direction: Direction) {
    // The sender lives as long as the connection; without it nothing would hold bytes back.
    faults.wait_for(|faults| faults.fate(direction) == Fate::Pass).await.ok();
}
