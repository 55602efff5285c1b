//! Who waits for which znode. ZooKeeper's watches fire once and carry no news, so neither do these.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a watch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// The znode comes, changes or goes.
    Node,
    /// One of its children comes or goes.
    Children,
}

#[derive(Debug)]
struct Entry {
    wants: Wants,
    rung: AtomicBool,
    bell: Arc<Notify>,
}

impl Entry {
    fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        self.bell.notify_waiters();
    }
}

/// All watches of a session, by path.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<HashMap<String, Vec<Arc<Entry>>>>);

impl Watches {
    /// Adds a watch. To be done before the server is asked, so that no event comes too early.
    pub(super) fn add(self: &Arc<Self>, path: &str, wants: Wants, bell: &Arc<Notify>) -> Watch {
        let entry = Arc::new(Entry { wants, rung: AtomicBool::new(false), bell: bell.clone() });
        self.lock().entry(path.to_owned()).or_default().push(entry.clone());
        Watch { entry, path: path.to_owned(), watches: self.clone() }
    }

    /// An event: `children` if it is about the znode's children alone, `gone` if the znode was deleted.
    pub(super) fn ring(&self, path: &str, children: bool, gone: bool) {
        let wants = if children { Wants::Children } else { Wants::Node };
        for entry in self.lock().get(path).into_iter().flatten() {
            if gone || entry.wants == wants {
                entry.ring();
            }
        }
    }

    /// Something may have been missed: everybody must read again.
    pub(super) fn ring_all(&self) {
        self.lock().values().flatten().for_each(|entry| entry.ring());
    }

    /// A poisoned mutex means that a thread panicked between two complete changes; the map is sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<Entry>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watch on one znode; it is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    entry: Arc<Entry>,
    path: String,
    watches: Arc<Watches>,
}

impl Watch {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether what was read may be out of date.
    pub(crate) fn rung(&self) -> bool {
        self.entry.rung.load(Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watches = self.watches.lock();
        if let Some(entries) = watches.get_mut(&self.path) {
            entries.retain(|entry| !Arc::ptr_eq(entry, &self.entry));
            if entries.is_empty() {
                watches.remove(&self.path);
            }
        }
    }
}

/// Waits until one of the watches, all with this bell, has rung.
pub(crate) async fn any_rung(bell: &Notify, rung: impl Fn() -> bool) {
    loop {
        let mut ring = std::pin::pin!(bell.notified());
        ring.as_mut().enable();
        if rung() {
            return;
        }
        ring.await;
    }
}
