//! What is lost without our doing: the lease, or an entry that somebody else removed and left a note about.

use std::collections::HashSet;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp};
use tooz_core::Result;
use tooz_core::driver::{Loss, Nonce};

use crate::client::lock;
use crate::error::{session_closed, session_lost};
use crate::layout::{KeyRange, nonce_of};
use crate::session::{EtcdSession, gets};
use crate::watch::{Events, Subscription};

/// While etcd is away, the notes are looked for this often.
const PAUSE: Duration = Duration::from_millis(500);

/// What has been told already, and the watch on what comes.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    subscription: Option<Subscription>,
    reported: HashSet<Nonce>,
}

impl EtcdSession {
    /// The next loss that etcd reports.
    pub(crate) async fn next_loss(&self) -> Loss {
        let mut losses = self.losses.lock().await;
        loop {
            if self.is_closed() {
                return Loss::Session(session_closed());
            }
            match self.look_for_loss(&mut losses).await {
                Ok(Some(nonce)) => return Loss::Entry(nonce),
                Ok(None) => {}
                Err(error) if error.is_session_lost() => return Loss::Session(error),
                Err(error) => {
                    tracing::debug!(%error, "losses cannot be watched at the moment");
                    losses.subscription = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One look: a new note, or nothing after something changed.
    async fn look_for_loss(&self, losses: &mut Losses) -> Result<Option<Nonce>> {
        let notes = self.layout.evictions(self.lease.id);
        let subscription = match &mut losses.subscription {
            Some(subscription) => subscription,
            empty => {
                let session = (KeyRange::key(self.session_key.clone()), Events::Deletes);
                let watched = vec![session, (notes.clone(), Events::Puts)];
                empty.insert(self.watches.subscribe(watched).await?)
            }
        };
        subscription.mark();
        for note in self.read_notes(notes).await? {
            let Some(nonce) = nonce_of(&note) else { continue };
            self.remove_note(note);
            if losses.reported.insert(nonce) {
                self.places.forsake(nonce);
                lock(&self.waiting).remove(&nonce);
                return Ok(Some(nonce));
            }
        }
        subscription.changed().await?;
        Ok(None)
    }

    async fn read_notes(&self, notes: KeyRange) -> Result<Vec<KeyValue>> {
        let options = GetOptions::new().with_range(notes.end).with_keys_only();
        let txn = Txn::new()
            .when([Compare::create_revision(self.session_key.clone(), CompareOp::Greater, 0)])
            .and_then([TxnOp::get(notes.start, Some(options))]);
        let answer = self.client.txn(txn).await?;
        if !answer.succeeded() {
            return Err(session_lost());
        }
        Ok(gets(&answer).flatten().collect())
    }

    /// Best effort, since a note dies with the session at the latest.
    fn remove_note(&self, note: KeyValue) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let key = note.key().to_vec();
            let removed = client.call(client.timeout(), |mut connection| async move {
                connection.kv.delete(key, None).await.map(drop)
            });
            if let Err(error) = removed.await {
                tracing::debug!(%error, "a note about an eviction was left behind");
            }
        });
    }
}
