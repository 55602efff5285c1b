//! The entries that this session has created or tried to create, by the nonces that core knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tooz_core::Result;
use tooz_core::driver::support::{Tombstones, lock, withdrawn};
use tooz_core::driver::{Nonce, Seq};

use crate::client::Watch;
use crate::limits::{check_ephemeral_paths, ephemeral_bytes};

/// How many withdrawn nonces are remembered; far more than there are requests in flight.
const TOMBSTONES: usize = 4096;

/// An entry that the server has confirmed.
#[derive(Clone, Debug)]
pub(crate) struct PlacedEntry {
    pub(crate) path: String,
    pub(crate) seq: Seq,
    /// The value with which it entered, if that is known and its admission may have to be announced.
    pub(crate) value: Option<Arc<[u8]>>,
}

#[derive(Debug, Default)]
struct OwnEntry {
    roster: String,
    /// Serializes attempts to enter: two with the same nonce must not both create an entry.
    attempts: Arc<tokio::sync::Mutex<()>>,
    may_exist: bool,
    /// What its path adds to the session's [limit](check_ephemeral_paths).
    path_bytes: usize,
    placed: Option<PlacedEntry>,
    leaving: bool,
    /// Wakes the waiter when its predecessor has changed, or its own entry is gone.
    wakeup: Arc<Notify>,
    /// The watch on the predecessor that `enter` has set.
    predecessor: Option<Watch>,
    removal_watch: Option<AbortHandle>,
}

impl Drop for OwnEntry {
    fn drop(&mut self) {
        self.removal_watch.iter().for_each(AbortHandle::abort);
        self.wakeup.notify_waiters();
    }
}

#[derive(Debug, Default)]
struct Entries {
    by_nonce: HashMap<Nonce, OwnEntry>,
    path_bytes: usize,
}

impl Entries {
    fn remove(&mut self, nonce: Nonce) -> Option<OwnEntry> {
        let entry = self.by_nonce.remove(&nonce)?;
        self.path_bytes -= entry.path_bytes;
        Some(entry)
    }
}

/// All entries of a session.
#[derive(Debug)]
pub(crate) struct OwnEntries {
    entries: Mutex<Entries>,
    tombstones: Mutex<Tombstones>,
}

impl Default for OwnEntries {
    fn default() -> Self {
        Self { entries: Mutex::default(), tombstones: Mutex::new(Tombstones::new(TOMBSTONES)) }
    }
}

impl OwnEntries {
    /// Registers an attempt to enter and returns the lock that serializes attempts with this nonce.
    pub(crate) fn attempt(&self, nonce: Nonce, roster: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut entries = lock(&self.entries);
        let entry = entries.by_nonce.entry(nonce).or_default();
        roster.clone_into(&mut entry.roster);
        entry.attempts.clone()
    }

    /// Whether an earlier attempt may have created an entry. Fails if the nonce was withdrawn.
    pub(crate) fn may_exist(&self, nonce: Nonce) -> Result<bool> {
        if lock(&self.tombstones).contains(nonce) {
            return Err(withdrawn());
        }
        Ok(self.with(nonce, |entry| entry.may_exist).unwrap_or(false))
    }

    /// Records that a request which creates an entry with this path is about to be sent.
    ///
    /// # Errors
    /// The paths of the session's entries would take too many bytes.
    pub(crate) fn reserve(&self, nonce: Nonce, path: &str) -> Result<()> {
        let mut entries = lock(&self.entries);
        let Entries { by_nonce, path_bytes } = &mut *entries;
        let Some(entry) = by_nonce.get_mut(&nonce) else { return Err(withdrawn()) };
        if !entry.may_exist {
            let bytes = ephemeral_bytes(path);
            check_ephemeral_paths(*path_bytes + bytes)?;
            *path_bytes += bytes;
            entry.path_bytes = bytes;
            entry.may_exist = true;
        }
        Ok(())
    }

    /// Records that the entry exists. Calls `watch_removal` if that was not known before.
    pub(crate) fn place(
        &self,
        nonce: Nonce,
        placed: PlacedEntry,
        predecessor: Option<Watch>,
        watch_removal: impl FnOnce() -> AbortHandle,
    ) {
        self.with(nonce, |entry| {
            entry.predecessor = predecessor;
            if entry.placed.replace(placed).is_none() {
                entry.removal_watch = Some(watch_removal());
            }
        });
    }

    pub(crate) fn placed(&self, nonce: Nonce) -> Option<PlacedEntry> {
        self.with(nonce, |entry| entry.placed.clone()).flatten()
    }

    /// Records that this session itself is about to remove the entry, so its removal need not be watched.
    pub(crate) fn set_leaving(&self, nonce: Nonce) {
        self.with(nonce, |entry| {
            entry.leaving = true;
            entry.removal_watch.take().inspect(AbortHandle::abort);
        });
    }

    /// What wakes the waiter, and the watch on the predecessor that `enter` has set, which is returned once.
    pub(crate) fn waiting(&self, nonce: Nonce) -> Option<(Arc<Notify>, Option<Watch>)> {
        self.with(nonce, |entry| (entry.wakeup.clone(), entry.predecessor.take()))
    }

    /// Forgets an entry, and returns whether its absence is a loss: the session itself has not removed it.
    pub(crate) fn forget(&self, nonce: Nonce) -> bool {
        lock(&self.entries).remove(nonce).is_some_and(|entry| !entry.leaving)
    }

    /// Records that no entry with this nonce may be created any more.
    pub(crate) fn withdraw(&self, nonce: Nonce) {
        let mut tombstones = lock(&self.tombstones);
        if !tombstones.contains(nonce) {
            tombstones.insert(nonce);
        }
    }

    /// Whether an entry of this session exists, or may exist, in this roster.
    pub(crate) fn uses(&self, roster: &str) -> bool {
        lock(&self.entries).by_nonce.values().any(|entry| entry.roster == roster)
    }

    /// Forgets all entries and returns the paths of those that the server has confirmed.
    pub(crate) fn drain(&self) -> Vec<String> {
        let entries = std::mem::take(&mut *lock(&self.entries));
        entries.by_nonce.into_values().filter_map(|mut entry| entry.placed.take()).map(|placed| placed.path).collect()
    }

    fn with<T>(&self, nonce: Nonce, read: impl FnOnce(&mut OwnEntry) -> T) -> Option<T> {
        lock(&self.entries).by_nonce.get_mut(&nonce).map(read)
    }
}
