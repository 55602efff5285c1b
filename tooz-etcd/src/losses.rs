//! The losses that etcd reports by itself.
//!
//! - A watch on the session's key reports the end of the lease.
//! - A client that removes an entry of another session leaves a note for it, which a second watch reports.
//! - Each time the watches begin anew, the reader checks that all entries of the session exist: a session that lives proves
//!   nothing about them after etcd was restored from a snapshot.

use std::time::Duration;

use tooz_core::Result;
use tooz_core::driver::support::session_lost;
use tooz_core::driver::{Loss, Nonce};

use crate::client::{KeyRange, Subscription, Txn, delete, get_key};
use crate::layout::{parse_last, seq};
use crate::session::EtcdSession;

/// How often the reader tries again while etcd is away.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How many entries one transaction checks.
const MAX_CHECKED: usize = 100;

impl EtcdSession {
    pub(crate) async fn next_loss(&self) -> Loss {
        let mut subscription = self.loss_subscription.lock().await;
        loop {
            match self.read_losses(&mut subscription).await {
                Ok(Some(nonce)) => return Loss::Entry(nonce),
                Ok(None) => {}
                Err(error) if error.is_session_lost() => return Loss::Session(error),
                Err(error) => {
                    tracing::debug!(%error, "failed to watch for losses; trying again");
                    *subscription = None;
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    /// Returns an entry that was removed, or `None` after an event.
    async fn read_losses(&self, subscription: &mut Option<Subscription>) -> Result<Option<Nonce>> {
        let notes = self.layout.evictions(self.lease.id);
        let mut begun = None;
        if subscription.is_none() {
            let watched = vec![KeyRange::key(&*self.fence.key), notes.clone()];
            begun = Some(self.watches.subscribe(watched, None).await?);
        }
        let txn = Txn::new().when([self.fence.session_exists()]).and_then([notes.get_keys()]);
        let mut answer = self.client.txn(txn).await?;
        if !answer.succeeded {
            return Err(session_lost());
        }
        for note in answer.next_read()? {
            // An entry that the session does not know has left or was withdrawn, or the last call has reported it.
            match parse_last(note.key(), Nonce::parse).filter(|nonce| self.key_pool.remove(*nonce)) {
                Some(nonce) => return Ok(Some(nonce)),
                None => self.client.txn(Txn::new().and_then([delete(note.key())])).await?,
            };
        }
        if begun.is_some() {
            if let Some(missing) = self.missing_entry().await? {
                return Ok(Some(missing));
            }
            *subscription = begun;
        }
        if let Some(subscription) = subscription {
            subscription.events().await?;
        }
        Ok(None)
    }

    /// An entry of the session that does not exist any more. The session forgets it, so the next call returns another one.
    async fn missing_entry(&self) -> Result<Option<Nonce>> {
        for entries in self.key_pool.all_entered().chunks(MAX_CHECKED) {
            let reads: Vec<_> = entries.iter().map(|(_, own)| get_key(&own.key)).collect();
            let mut answer = self.client.txn(Txn::new().and_then(reads)).await?;
            for (nonce, own) in entries {
                if answer.next_read()?.first().map(seq) != Some(own.seq) && self.key_pool.remove(*nonce) {
                    return Ok(Some(*nonce));
                }
            }
        }
        Ok(None)
    }
}
