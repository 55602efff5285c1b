//! Finds the servers that serve and the session timeout that they grant, before the client crate connects.
//!
//! zookeeper-async never gives up on a server that does not answer and does not tell which timeout was granted;
//! zookeeper-client does not tell why it could not connect. So the driver first does ZooKeeper's handshake by itself.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tooz_core::driver::Nonce;
use tooz_core::{Error, ErrorKind};

use super::backend::{Dialer, Stream};
use crate::error::{Answer, unreachable};

/// How a TLS server begins its answer to a client that does not speak TLS.
const TLS_ALERT: &[u8] = &[0x15, 3];

/// What the servers answered.
#[derive(Debug)]
pub(super) struct Findings {
    /// The servers that serve, in the order asked for.
    pub(super) servers: Vec<(String, SocketAddr)>,
    /// The session timeout that one of them granted.
    pub(super) granted: Duration,
}

/// Asks all hosts at once, each for at most `limit`. Fails if none of them serves, with the cause for each.
pub(super) async fn probe(hosts: &[String], ttl: Duration, limit: Duration, dialer: &Dialer) -> Answer<Findings> {
    let servers = serving(hosts, limit, dialer).await?;
    for (host, addr) in &servers {
        if let Ok(Ok(granted)) = timeout(limit, negotiate(host, *addr, ttl, dialer)).await {
            return Ok(Findings { servers, granted });
        }
    }
    Err(unreachable("no server grants a session").into())
}

async fn serving(hosts: &[String], limit: Duration, dialer: &Dialer) -> Answer<Vec<(String, SocketAddr)>> {
    let answers = join_all(hosts.iter().map(|host| async move {
        let greeted = timeout(limit, resolve_and_greet(host, dialer)).await;
        let greeted = greeted.unwrap_or_else(|_| Err(unreachable(format!("no answer within {limit:?}")).into()));
        greeted.map(|addr| (host.clone(), addr)).map_err(|fault| fault.into_error().with_context("server", host))
    }));
    let (mut servers, mut errors) = (Vec::new(), Vec::new());
    for answer in answers.await {
        match answer {
            Ok(found) => servers.push(found),
            Err(error) => errors.push(error),
        }
    }
    match servers.is_empty() {
        false => Ok(servers),
        true => Err(combined(errors).into()),
    }
}

/// One error for all hosts: a refused certificate comes first, since repeating the attempt does not help then.
fn combined(errors: Vec<Error>) -> Error {
    let kind = errors.iter().map(Error::kind).find(|kind| *kind != ErrorKind::Unavailable);
    let causes: Vec<_> = errors.iter().map(ToString::to_string).collect();
    Error::new(kind.unwrap_or(ErrorKind::Unavailable), causes.join("; "))
}

/// Returns the first address of a host at which a server serves.
async fn resolve_and_greet(host: &str, dialer: &Dialer) -> Answer<SocketAddr> {
    let mut last = unreachable("the name has no address").into();
    for addr in lookup_host(host).await.map_err(unreachable)? {
        // A server that serves refuses a session that does not exist, at no cost to the ensemble. Ids of real sessions are
        // positive. Two probes with the same id would close each other's connection, so the number comes from the operating
        // system: a fork copies every generator inside the process.
        let id = Nonce::random().0 as i64 | i64::MIN;
        let greeting = async { handshake(dialer.dial(host, addr).await?, Duration::from_secs(4), id).await };
        match greeting.await {
            Ok(_) => return Ok(addr),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// Opens a session and closes it, to learn its timeout.
async fn negotiate(host: &str, addr: SocketAddr, ttl: Duration, dialer: &Dialer) -> Answer<Duration> {
    let (mut stream, granted) = handshake(dialer.dial(host, addr).await?, ttl, 0).await?;
    // xid 1, operation -11: close.
    let close = [8_i32, 1, -11].map(i32::to_be_bytes).concat();
    stream.write_all(&close).await.map_err(unreachable)?;
    // The server must read the request before the connection is closed.
    let _ = stream.read_u8().await;
    match granted.is_zero() {
        false => Ok(granted),
        true => Err(unreachable("the server grants no session").into()),
    }
}

async fn handshake(mut stream: Box<dyn Stream>, ttl: Duration, session: i64) -> Answer<(Box<dyn Stream>, Duration)> {
    let ttl = i32::try_from(ttl.as_millis()).unwrap_or(i32::MAX);
    let mut hello = Vec::with_capacity(49);
    hello.extend(45_i32.to_be_bytes());
    hello.extend(0_i32.to_be_bytes()); // protocol version
    hello.extend(0_i64.to_be_bytes()); // last zxid seen
    hello.extend(ttl.to_be_bytes());
    hello.extend(session.to_be_bytes());
    hello.extend(16_i32.to_be_bytes());
    hello.extend([0; 17]); // password, and whether a read-only server would do
    stream.write_all(&hello).await.map_err(unreachable)?;
    let mut head = Vec::with_capacity(12);
    (&mut stream).take(12).read_to_end(&mut head).await.map_err(unreachable)?;
    if head.starts_with(TLS_ALERT) {
        return Err(unreachable("the port speaks TLS; set the option use_ssl=true, or use a plain port").into());
    }
    if head.len() < 12 {
        return Err(unreachable(
            "the server closed the connection without an answer: it does not serve at the moment, \
             or the port speaks TLS and the option use_ssl=true is missing",
        )
        .into());
    }
    let [len, version, granted] = [0, 4, 8].map(|at| i32::from_be_bytes([0, 1, 2, 3].map(|byte| head[at + byte])));
    if !(36..=64).contains(&len) || version != 0 {
        return Err(unreachable("the server at this port is not a ZooKeeper server").into());
    }
    let mut rest = vec![0; usize::try_from(len - 8).unwrap_or_default()];
    stream.read_exact(&mut rest).await.map_err(unreachable)?;
    Ok((stream, Duration::from_millis(u64::try_from(granted).unwrap_or_default())))
}
