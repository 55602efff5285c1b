//! What this session has put into rosters, or has tried to: ZooKeeper's receipts by the nonces that core knows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tooz_core::driver::{Nonce, Seq};
use tooz_core::{Error, ErrorKind, Result};

use crate::turn::Ahead;

/// How many withdrawn nonces are remembered. Core never enters one again; this is for a request that overtakes.
const WITHDRAWN: usize = 4096;

/// An entry that stands, as far as we know.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) path: String,
    pub(crate) seq: Seq,
}

/// An entry of ours.
#[derive(Debug)]
struct Item {
    parent: String,
    /// One attempt at a time: two with the same nonce must not both create.
    busy: Arc<tokio::sync::Mutex<()>>,
    tried: bool,
    placed: Option<Placed>,
    leaving: bool,
    /// Rings when what this entry waits for has changed, or when it is gone itself.
    bell: Arc<Notify>,
    /// The entry's blocker, as `enter` left it.
    ahead: Option<Ahead>,
    sentry: Option<AbortHandle>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.sentry.iter().for_each(AbortHandle::abort);
        self.bell.notify_waiters();
    }
}

#[derive(Debug, Default)]
struct Items {
    items: HashMap<Nonce, Item>,
    withdrawn: VecDeque<Nonce>,
}

/// All entries of a session.
#[derive(Debug, Default)]
pub(crate) struct Mine(Mutex<Items>);

impl Mine {
    /// The turn to work on a nonce.
    pub(crate) fn busy(&self, nonce: Nonce, parent: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut items = self.lock();
        let item = items.items.entry(nonce).or_insert_with(|| Item {
            parent: parent.to_owned(),
            busy: Arc::default(),
            tried: false,
            placed: None,
            leaving: false,
            bell: Arc::default(),
            ahead: None,
            sentry: None,
        });
        item.busy.clone()
    }

    /// Whether an entry with this nonce may have been created before. Fails if the nonce was withdrawn.
    pub(crate) fn tried(&self, nonce: Nonce) -> Result<bool> {
        let items = self.lock();
        if items.withdrawn.contains(&nonce) {
            return Err(Error::new(ErrorKind::NotHeld, "the entry was withdrawn before it entered"));
        }
        Ok(items.items.get(&nonce).is_some_and(|item| item.tried))
    }

    /// To be called before an entry is created.
    pub(crate) fn trying(&self, nonce: Nonce) {
        self.with(nonce, |item| item.tried = true);
    }

    /// The entry stands. `sentry` is started if it was not known before.
    pub(crate) fn place(
        &self,
        nonce: Nonce,
        placed: Placed,
        ahead: Option<Ahead>,
        sentry: impl FnOnce() -> AbortHandle,
    ) {
        self.with(nonce, |item| {
            item.ahead = ahead;
            if item.placed.replace(placed).is_none() {
                item.sentry = Some(sentry());
            }
        });
    }

    pub(crate) fn placed(&self, nonce: Nonce) -> Option<Placed> {
        self.with(nonce, |item| item.placed.clone()).flatten()
    }

    /// The entry is about to be removed by ourselves.
    pub(crate) fn leaving(&self, nonce: Nonce) {
        self.with(nonce, |item| item.leaving = true);
    }

    /// The bell that rings when the entry is gone, and what `enter` has found ahead of it.
    pub(crate) fn bell(&self, nonce: Nonce) -> Option<(Arc<Notify>, Option<Ahead>)> {
        self.with(nonce, |item| (item.bell.clone(), item.ahead.take()))
    }

    pub(crate) fn forget(&self, nonce: Nonce) {
        self.lock().items.remove(&nonce);
    }

    /// The entry is gone; whether somebody else removed it.
    pub(crate) fn gone(&self, nonce: Nonce) -> bool {
        let item = self.lock().items.remove(&nonce);
        item.is_some_and(|item| !item.leaving)
    }

    /// Bars a nonce for good.
    pub(crate) fn withdraw(&self, nonce: Nonce) {
        let mut items = self.lock();
        if items.withdrawn.contains(&nonce) {
            return;
        }
        if items.withdrawn.len() == WITHDRAWN {
            items.withdrawn.pop_front();
        }
        items.withdrawn.push_back(nonce);
    }

    /// Whether an entry of ours stands, or may stand, under this parent.
    pub(crate) fn uses(&self, parent: &str) -> bool {
        self.lock().items.values().any(|item| item.parent == parent)
    }

    /// Takes everything: paths that stand, and parents with nonces that may stand.
    pub(crate) fn drain(&self) -> (Vec<Placed>, Vec<(String, Nonce)>) {
        let items = std::mem::take(&mut self.lock().items);
        let (mut placed, mut unsure) = (Vec::new(), Vec::new());
        for (nonce, mut item) in items {
            match item.placed.take() {
                Some(known) => placed.push(known),
                None if item.tried => unsure.push((std::mem::take(&mut item.parent), nonce)),
                None => {}
            }
        }
        (placed, unsure)
    }

    fn with<T>(&self, nonce: Nonce, look: impl FnOnce(&mut Item) -> T) -> Option<T> {
        self.lock().items.get_mut(&nonce).map(look)
    }

    /// A poisoned mutex means that a thread panicked between two complete changes; the map is sound.
    fn lock(&self) -> MutexGuard<'_, Items> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
