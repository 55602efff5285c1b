//! The losses that etcd reports by itself: the end of the lease, and an entry that another client removed and left a note
//! about. A watch on the session's key and on the notes wakes the reader of both.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tooz_core::Result;
use tooz_core::driver::support::session_lost;
use tooz_core::driver::{Loss, Nonce};

use crate::client::{Answer, Client, Events, KeyRange, Subscription, Txn, Watches, delete, exists, get_keys};
use crate::key_pool::KeyPool;
use crate::layout::evicted_nonce;

/// How often the reader tries again while etcd is away.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The reader of a session's losses.
#[derive(Debug)]
pub(crate) struct Losses {
    pub(crate) client: Arc<Client>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) key_pool: Arc<KeyPool>,
    pub(crate) session_key: Vec<u8>,
    pub(crate) notes: KeyRange,
    pub(crate) subscription: Mutex<Option<Subscription>>,
}

impl Losses {
    /// The next loss.
    pub(crate) async fn next(&self) -> Loss {
        let mut subscription = self.subscription.lock().await;
        loop {
            match self.read(&mut subscription).await {
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
    async fn read(&self, subscription: &mut Option<Subscription>) -> Result<Option<Nonce>> {
        let subscription = match subscription {
            Some(subscription) => subscription,
            empty => {
                let session = (KeyRange::key(self.session_key.clone()), Events::Deletes);
                empty.insert(self.watches.subscribe(vec![session, (self.notes.clone(), Events::Puts)]).await?)
            }
        };
        subscription.mark();
        let txn = Txn::new().when([exists(&self.session_key)]).and_then([get_keys(self.notes.clone())]);
        let mut answer = self.client.txn(txn).await?;
        if !answer.succeeded {
            return Err(session_lost());
        }
        for note in answer.next_read()? {
            self.remove_note(note.key().to_vec());
            // An entry that the session does not know was withdrawn or has left, or its note was read before.
            if let Some(nonce) = evicted_nonce(&note).filter(|nonce| self.key_pool.abandon(*nonce)) {
                return Ok(Some(nonce));
            }
        }
        subscription.changed().await?;
        Ok(None)
    }

    /// Best effort, since a note is removed with the session at the latest.
    fn remove_note(&self, key: Vec<u8>) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let removed: Result<Answer> = client.txn(Txn::new().and_then([delete(&key)])).await;
            if let Err(error) = removed {
                tracing::debug!(%error, "failed to remove the note about an eviction");
            }
        });
    }
}
