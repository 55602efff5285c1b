//! Asks servers by hand, before the client library sees them: which ones answer, and what session timeout they grant.
//!
//! zookeeper-async never gives up on a host that does not answer, and does not tell what timeout it was granted.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Answer, Fault};

/// What the servers said.
#[derive(Debug)]
pub(super) struct Findings {
    /// Those that answered, in the order asked for.
    pub(super) alive: Vec<SocketAddr>,
    /// The session timeout that was granted.
    pub(super) negotiated: Duration,
}

/// Asks all hosts at once, each for at most `limit`.
pub(super) async fn probe(hosts: &[String], ttl: Duration, limit: Duration) -> Answer<Findings> {
    let asked = join_all(hosts.iter().map(|host| async move {
        match timeout(limit, resolve_and_greet(host)).await {
            Ok(outcome) => outcome.map_err(|cause| format!("{host}: {cause}")),
            Err(_) => Err(format!("{host}: no answer within {limit:?}")),
        }
    }));
    let (alive, faults): (Vec<_>, Vec<_>) = asked.await.into_iter().partition(Result::is_ok);
    let alive: Vec<_> = alive.into_iter().flatten().collect();
    for addr in &alive {
        if let Ok(Ok(negotiated)) = timeout(limit, negotiate(*addr, ttl)).await {
            return Ok(Findings { alive, negotiated });
        }
    }
    let faults: Vec<_> = faults.into_iter().filter_map(Result::err).collect();
    Err(Fault::Away(if faults.is_empty() { "no server grants a session".to_owned() } else { faults.join("; ") }))
}

/// The first address of a host behind which a server serves.
async fn resolve_and_greet(host: &str) -> std::io::Result<SocketAddr> {
    let mut last = std::io::Error::other("the name has no address");
    for addr in lookup_host(host).await? {
        match greet(addr).await {
            Ok(()) => return Ok(addr),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks for a session that does not exist: a server that serves refuses it, at no cost to the ensemble.
async fn greet(addr: SocketAddr) -> std::io::Result<()> {
    // Ids that are in use are positive. Two probes with one id would cut each other off.
    shake_hands(addr, Duration::from_secs(4), rand::random::<i64>() | i64::MIN).await.map(drop)
}

/// Opens a session and closes it, to learn its timeout.
async fn negotiate(addr: SocketAddr, ttl: Duration) -> std::io::Result<Duration> {
    let (mut stream, granted) = shake_hands(addr, ttl, 0).await?;
    // xid 1, operation -11: close.
    let close = [8_i32, 1, -11].map(i32::to_be_bytes).concat();
    stream.write_all(&close).await?;
    // Until the server has closed the session, lest its data be lost with the connection.
    let _ = stream.read_u8().await;
    match granted.is_zero() {
        false => Ok(granted),
        true => Err(std::io::Error::other("the server grants no session")),
    }
}

async fn shake_hands(addr: SocketAddr, ttl: Duration, session: i64) -> std::io::Result<(TcpStream, Duration)> {
    let mut stream = TcpStream::connect(addr).await?;
    let ttl = i32::try_from(ttl.as_millis()).unwrap_or(i32::MAX);
    let mut hello = Vec::with_capacity(49);
    hello.extend(45_i32.to_be_bytes());
    hello.extend(0_i32.to_be_bytes()); // protocol version
    hello.extend(0_i64.to_be_bytes()); // last zxid seen
    hello.extend(ttl.to_be_bytes());
    hello.extend(session.to_be_bytes());
    hello.extend(16_i32.to_be_bytes());
    hello.extend([0; 17]); // password, and whether read-only would do
    stream.write_all(&hello).await?;
    let (len, version) = (stream.read_i32().await?, stream.read_i32().await?);
    if !(36..=64).contains(&len) || version != 0 {
        return Err(std::io::Error::other("what listens there is not a ZooKeeper server"));
    }
    let granted = stream.read_i32().await?;
    let mut rest = vec![0; usize::try_from(len - 8).unwrap_or_default()];
    stream.read_exact(&mut rest).await?;
    Ok((stream, Duration::from_millis(u64::try_from(granted).unwrap_or_default())))
}
