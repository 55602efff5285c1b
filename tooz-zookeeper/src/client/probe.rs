//! Asks servers by hand, before the client library sees them: which ones answer, and what session timeout they grant.
//!
//! zookeeper-async never gives up on a host that does not answer, and does not tell what timeout it was granted.
//! zookeeper-client does both, but does not tell why it could not connect.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::dial::{Dialer, Stream};
use super::{Answer, Fault};

/// What the servers said.
#[cfg(not(feature = "tls"))]
#[derive(Debug)]
pub(super) struct Findings {
    /// Those that answered, in the order asked for.
    pub(super) alive: Vec<SocketAddr>,
    /// The session timeout that was granted.
    pub(super) negotiated: Duration,
}

/// Asks all hosts at once, each for at most `limit`: those that serve, in the order asked for, and their addresses.
/// Fails if there is none.
pub(super) async fn greet_all(hosts: &[String], limit: Duration, dialer: &Dialer) -> Answer<Vec<(String, SocketAddr)>> {
    let asked = join_all(hosts.iter().map(|host| async move {
        let greeted = timeout(limit, resolve_and_greet(host, dialer)).await;
        match greeted.unwrap_or_else(|_| Err(Fault::Away(format!("no answer within {limit:?}")))) {
            Ok(addr) => Ok((host.clone(), addr)),
            Err(Fault::Untrusted(cause)) => Err(Fault::Untrusted(format!("{host}: {cause}"))),
            Err(Fault::Away(cause)) => Err(Fault::Away(format!("{host}: {cause}"))),
            Err(fault) => Err(fault),
        }
    }));
    let (mut alive, mut away, mut untrusted) = (Vec::new(), Vec::new(), Vec::new());
    for answer in asked.await {
        match answer {
            Ok(found) => alive.push(found),
            Err(Fault::Untrusted(cause)) => untrusted.push(cause),
            Err(Fault::Away(cause)) => away.push(cause),
            Err(fault) => return Err(fault),
        }
    }
    match (alive.is_empty(), untrusted.is_empty()) {
        (false, _) => Ok(alive),
        (true, false) => Err(Fault::Untrusted(untrusted.join("; "))),
        (true, true) => Err(Fault::Away(away.join("; "))),
    }
}

/// Which servers serve, and what they grant.
#[cfg(not(feature = "tls"))]
pub(super) async fn probe(hosts: &[String], ttl: Duration, limit: Duration, dialer: &Dialer) -> Answer<Findings> {
    let alive = greet_all(hosts, limit, dialer).await?;
    for (host, addr) in &alive {
        if let Ok(Ok(negotiated)) = timeout(limit, negotiate(host, *addr, ttl, dialer)).await {
            return Ok(Findings { alive: alive.into_iter().map(|(_, addr)| addr).collect(), negotiated });
        }
    }
    Err(Fault::Away("no server grants a session".to_owned()))
}

/// The first address of a host behind which a server serves.
async fn resolve_and_greet(host: &str, dialer: &Dialer) -> Answer<SocketAddr> {
    let mut last = Fault::Away("the name has no address".to_owned());
    for addr in lookup_host(host).await.map_err(away)? {
        match greet(host, addr, dialer).await {
            Ok(()) => return Ok(addr),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

fn away(error: std::io::Error) -> Fault {
    Fault::Away(error.to_string())
}

/// Asks for a session that does not exist: a server that serves refuses it, at no cost to the ensemble.
async fn greet(host: &str, addr: SocketAddr, dialer: &Dialer) -> Answer<()> {
    let stream = dialer.dial(host, addr).await?;
    // Ids that are in use are positive. Two probes with one id would cut each other off.
    let refused = shake_hands(stream, Duration::from_secs(4), rand::random::<i64>() | i64::MIN).await;
    refused.map(drop).map_err(away)
}

/// Opens a session and closes it, to learn its timeout.
#[cfg(not(feature = "tls"))]
async fn negotiate(host: &str, addr: SocketAddr, ttl: Duration, dialer: &Dialer) -> Answer<Duration> {
    let (mut stream, granted) = shake_hands(dialer.dial(host, addr).await?, ttl, 0).await.map_err(away)?;
    // xid 1, operation -11: close.
    let close = [8_i32, 1, -11].map(i32::to_be_bytes).concat();
    stream.write_all(&close).await.map_err(away)?;
    // Until the server has closed the session, lest its data be lost with the connection.
    let _ = stream.read_u8().await;
    match granted.is_zero() {
        false => Ok(granted),
        true => Err(Fault::Away("the server grants no session".to_owned())),
    }
}

async fn shake_hands(
    mut stream: Box<dyn Stream>,
    ttl: Duration,
    session: i64,
) -> std::io::Result<(Box<dyn Stream>, Duration)> {
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
