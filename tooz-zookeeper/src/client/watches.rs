//! Watches on znodes, by path.
//!
//! ZooKeeper's watches fire once and carry no data, and so do these: a watch that has fired says only that what was read with it
//! may be out of date.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tooz_core::driver::support::lock;

/// What a watch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchKind {
    /// The znode is created, changed or deleted.
    Node,
    /// One of its children is created or deleted.
    Children,
}

#[derive(Debug)]
struct Registration {
    kind: WatchKind,
    fired: AtomicBool,
    wakeup: Arc<Notify>,
}

impl Registration {
    fn fire(&self) {
        self.fired.store(true, Ordering::SeqCst);
        self.wakeup.notify_waiters();
    }
}

/// All watches of a session.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<HashMap<String, Vec<Arc<Registration>>>>);

impl Watches {
    /// Adds a watch. Call it before the request is sent, so that no event comes too early.
    pub(super) fn add(self: &Arc<Self>, path: &str, kind: WatchKind, wakeup: &Arc<Notify>) -> Watch {
        let registration = Arc::new(Registration { kind, fired: AtomicBool::new(false), wakeup: wakeup.clone() });
        lock(&self.0).entry(path.to_owned()).or_default().push(registration.clone());
        Watch { registration, path: path.to_owned(), watches: self.clone() }
    }

    /// Handles an event of the server: `deleted` if the znode was deleted, else `kind`.
    pub(super) fn fire(&self, path: &str, kind: WatchKind, deleted: bool) {
        for registration in lock(&self.0).get(path).into_iter().flatten() {
            if deleted || registration.kind == kind {
                registration.fire();
            }
        }
    }

    /// Fires every watch, because events may have been missed.
    pub(super) fn fire_all(&self) {
        lock(&self.0).values().flatten().for_each(|registration| registration.fire());
    }
}

/// A watch on one znode; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Watch {
    registration: Arc<Registration>,
    path: String,
    watches: Arc<Watches>,
}

impl Watch {
    /// Whether what was read with this watch may be out of date.
    pub(crate) fn has_fired(&self) -> bool {
        self.registration.fired.load(Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watches = lock(&self.watches.0);
        if let Some(registrations) = watches.get_mut(&self.path) {
            registrations.retain(|registration| !Arc::ptr_eq(registration, &self.registration));
            if registrations.is_empty() {
                watches.remove(&self.path);
            }
        }
    }
}

/// Waits until `fired` is true. It is asked again whenever a watch with this `wakeup` fires.
pub(crate) async fn any_fired(wakeup: &Notify, fired: impl Fn() -> bool) {
    loop {
        let mut notified = std::pin::pin!(wakeup.notified());
        notified.as_mut().enable();
        if fired() {
            return;
        }
        notified.await;
    }
}
