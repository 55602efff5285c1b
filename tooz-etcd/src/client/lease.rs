//! The lease of a session. One message on a stream renews it, whatever the session holds.

use std::time::Duration;

use etcd_client::{Error as EtcdError, GetOptions, GetResponse, LeaseKeepAliveStream, LeaseKeeper};
use tokio::sync::Mutex;
use tooz_core::Result;

use super::connection::{Client, Connection};
use crate::error::unexpected_answer;

/// A granted lease.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    pub(crate) ttl: Duration,
    stream: Mutex<Option<Stream>>,
}

#[derive(Debug)]
struct Stream {
    connection: u64,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

impl Lease {
    /// Requests a lease. etcd counts in whole seconds and may grant a longer TTL.
    pub(crate) async fn grant(client: &Client, ttl: Duration, limit: Duration) -> Result<Self> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let seen = client.history.seen();
        let granted = client.call(limit, |mut connection| async move { connection.lease.grant(seconds, None).await });
        let granted = granted.await?;
        client.history.observe(seen, granted.header().ok_or_else(unexpected_answer)?);
        let ttl = Duration::from_secs(granted.ttl().unsigned_abs());
        Ok(Self { id: granted.id(), ttl, stream: Mutex::default() })
    }

    /// Sends one ping and waits for its answer. Over a new connection, a read of `session_key` follows, since the answer to a
    /// ping does not show that etcd was restored from a snapshot that contains the lease.
    pub(crate) async fn renew(&self, client: &Client, session_key: &[u8]) -> Result<()> {
        client.check_session()?;
        let mut slot = self.stream.lock().await;
        // The stream is taken out during the ping: after a timeout, a late answer must not pass for that of the next ping.
        let stream = slot.take();
        let (id, key, seen) = (self.id, session_key.to_vec(), client.history.seen());
        let limit = self.renewal_limit(client);
        let pinged = client.call(limit, |connection| async move { ping(id, stream, connection, key).await });
        let (stream, read) = pinged.await?;
        if let Some(header) = read.as_ref().and_then(GetResponse::header) {
            client.history.observe(seen, header);
            client.check_session()?;
        }
        *slot = Some(stream);
        Ok(())
    }

    /// Revokes the lease, with all keys that are bound to it.
    pub(crate) async fn revoke(&self, client: &Client) -> Result<()> {
        let id = self.id;
        let revoked = client.call(client.timeout, |mut connection| async move { connection.lease.revoke(id).await });
        match revoked.await {
            Err(error) if !error.is_session_lost() => Err(error),
            _ => Ok(()),
        }
    }

    /// With several endpoints, one that is frozen must not use up the lease.
    fn renewal_limit(&self, client: &Client) -> Duration {
        if client.len() > 1 { client.timeout.min(self.ttl / 6) } else { client.timeout }
    }
}

async fn ping(
    id: i64,
    stream: Option<Stream>,
    mut connection: Connection,
    key: Vec<u8>,
) -> Result<(Stream, Option<GetResponse>), EtcdError> {
    let Some(mut stream) = stream.filter(|stream| stream.connection == connection.id()) else {
        // Opening the stream sends a ping and waits for its answer.
        let (keeper, answers) = connection.lease.keep_alive(id).await?;
        let read = connection.kv.get(key, Some(GetOptions::new().with_keys_only())).await?;
        return Ok((Stream { connection: connection.id(), keeper, answers }, Some(read)));
    };
    stream.keeper.keep_alive().await?;
    match stream.answers.message().await? {
        Some(answer) if answer.ttl() > 0 => Ok((stream, None)),
        Some(_) => Err(EtcdError::LeaseKeepAliveError("lease not found".to_owned())),
        None => Err(EtcdError::LeaseKeepAliveError("etcd has closed the stream".to_owned())),
    }
}
