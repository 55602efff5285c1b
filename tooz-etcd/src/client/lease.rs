//! The lease of a session. One message renews it, whatever the session holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{GetOptions, GetResponse};
use tooz_core::Result;

use super::connection::{Client, Connection};
use crate::error::unexpected_answer;

/// A granted lease.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    pub(crate) ttl: Duration,
    /// The number of the connection over which it was renewed last.
    connection: AtomicUsize,
}

impl Lease {
    /// Requests a lease. etcd counts in whole seconds and may grant a longer TTL.
    pub(crate) async fn grant(client: &Client, ttl: Duration) -> Result<Self> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let seen = client.history.seen();
        let grant = async move |mut connection: Connection| connection.lease.grant(seconds, None).await;
        let granted = client.call(client.timeout, grant).await?;
        client.history.observe(seen, granted.header().ok_or_else(unexpected_answer)?);
        let ttl = Duration::from_secs(granted.ttl().unsigned_abs());
        Ok(Self { id: granted.id(), ttl, connection: AtomicUsize::new(usize::MAX) })
    }

    /// Sends one ping and waits for its answer. Over a new connection, a read of `session_key` follows, since the answer to a
    /// ping does not show that etcd was restored from a snapshot that contains the lease.
    pub(crate) async fn renew(&self, client: &Client, session_key: &[u8]) -> Result<()> {
        client.check_session()?;
        let (id, key, seen) = (self.id, session_key.to_vec(), client.history.seen());
        let known = self.connection.load(Ordering::Relaxed);
        let renewed = client.call(self.renewal_limit(client), |mut connection| async move {
            let (keeper, mut answers) = connection.lease.keep_alive(id).await?;
            // The client ends the stream and waits for its end, since etcd counts a stream that is cut off as a failure.
            drop(keeper);
            let _ = answers.message().await;
            let read = match connection.number == known {
                true => None,
                false => Some(connection.kv.get(key, Some(GetOptions::new().with_keys_only())).await?),
            };
            Ok((connection.number, read))
        });
        let (number, read) = renewed.await?;
        if let Some(header) = read.as_ref().and_then(GetResponse::header) {
            client.history.observe(seen, header);
            client.check_session()?;
        }
        self.connection.store(number, Ordering::Relaxed);
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
        if client.others() > 0 { client.timeout.min(self.ttl / 6) } else { client.timeout }
    }
}
