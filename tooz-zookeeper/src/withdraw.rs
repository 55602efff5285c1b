//! Withdrawals: removing entries whose `enter` was dropped or had no reply.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tooz_core::Result;
use tooz_core::driver::{Nonce, Roster};

use crate::roster::path;
use crate::session::Inner;

/// What one roster still has to lose, and the turn to do it.
#[derive(Debug, Default)]
struct Batch {
    nonces: HashSet<Nonce>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The nonces that are to be withdrawn, by roster. Those that come while a listing is under way share the next one, so
/// that thousands of dropped requests do not list a long roster thousands of times.
#[derive(Debug, Default)]
pub(crate) struct Withdrawals(Mutex<HashMap<String, Batch>>);

impl Withdrawals {
    fn add(&self, parent: &str, nonce: Nonce) -> Arc<tokio::sync::Mutex<()>> {
        let mut batches = self.lock();
        let batch = batches.entry(parent.to_owned()).or_default();
        batch.nonces.insert(nonce);
        batch.turn.clone()
    }

    fn pending(&self, parent: &str) -> HashSet<Nonce> {
        self.lock().get(parent).map(|batch| batch.nonces.clone()).unwrap_or_default()
    }

    fn done(&self, parent: &str, nonces: &HashSet<Nonce>) {
        let mut batches = self.lock();
        if let Some(batch) = batches.get_mut(parent) {
            batch.nonces.retain(|nonce| !nonces.contains(nonce));
            if batch.nonces.is_empty() {
                batches.remove(parent);
            }
        }
    }

    /// A poisoned mutex means that a thread panicked between two complete changes; the map is sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Batch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(crate) async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        self.mine.withdraw(nonce);
        self.mine.leaving(nonce);
        let turn = self.withdrawals.add(&parent, nonce);
        let _one_at_a_time = turn.lock().await;
        let nonces = self.withdrawals.pending(&parent);
        // Whoever had the turn before may have done our part, with a listing that was sent after our call.
        if nonces.contains(&nonce) {
            self.remove_withdrawn(&parent, &nonces).await?;
            self.withdrawals.done(&parent, &nonces);
            nonces.iter().for_each(|nonce| self.mine.forget(*nonce));
        }
        Ok(())
    }

    /// Requests are carried out in the order in which they were sent, so the listing sees an entry that was still under
    /// way. One that was sent on an earlier connection is either carried out by now or refused for good.
    async fn remove_withdrawn(&self, parent: &str, nonces: &HashSet<Nonce>) -> Result<()> {
        let line = self.line(parent).await?;
        let withdrawn = line.entries().iter().filter(|listed| nonces.contains(&listed.entry.nonce));
        let removals = withdrawn.map(|listed| async move {
            let path = path(parent, listed);
            let ours = self.client.exists(&path).await?.is_some_and(|stat| stat.owner == self.id);
            if ours { self.delete(&path).await.map(drop) } else { Ok(()) }
        });
        join_all(removals).await.into_iter().collect()
    }
}
