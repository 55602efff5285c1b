//! What notifications mean to a session: they wake waiters and watchers, and report losses.
//!
//! A notification has one of these texts: `admitted` or `removed` and a nonce, `ended`, or the kind and name of a roster or a
//! topic with what has changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc};
use tokio::time::Instant;
use tooz_core::Error;
use tooz_core::driver::support::{lock, session_lost};
use tooz_core::driver::{Loss, Nonce, OwnEntries, Wakeup, Wakeups};

use crate::layout::split_notification;

/// The longest time without a look at the server while something is waited for: it also shows that the connection lives.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How many notifications may wait for a watcher. With more it reads again.
const BACKLOG: usize = 256;

/// The waiters, watchers and own entries of one session.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) entries: OwnEntries,
    /// By the nonces of waiters.
    pub(crate) wakeups: Wakeups,
    /// By watched names.
    watchers: Mutex<HashMap<String, broadcast::Sender<Arc<str>>>>,
    losses: mpsc::UnboundedSender<Loss>,
    ended: AtomicBool,
    /// How many connections the session has had.
    pub(crate) connections: AtomicU64,
    next_look: Mutex<Instant>,
    maintenance: Notify,
}

impl Inbox {
    pub(crate) fn new(losses: mpsc::UnboundedSender<Loss>) -> Self {
        Self {
            entries: OwnEntries::default(),
            wakeups: Wakeups::default(),
            watchers: Mutex::default(),
            losses,
            ended: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            next_look: Mutex::new(Instant::now()),
            maintenance: Notify::new(),
        }
    }

    /// Handles the text of a notification.
    pub(crate) fn receive(&self, text: &str) {
        match (split_notification(text), text.split_once(' ')) {
            // Without a watcher it was sent before the watch ended.
            (Some((watched, change)), _) => {
                lock(&self.watchers).get(watched).into_iter().for_each(|watchers| drop(watchers.send(change.into())));
            }
            (_, Some(("admitted", hex))) => self.wakeups.wake(hex, Wakeup::Admitted),
            (_, Some(("removed", hex))) => Nonce::parse(hex).into_iter().for_each(|nonce| self.removed(nonce)),
            _ => self.end(session_lost()),
        }
    }

    /// Receives the changes of a watched name, and an error when some may have been missed.
    pub(crate) fn subscribe(&self, watched: &str) -> broadcast::Receiver<Arc<str>> {
        let mut watchers = lock(&self.watchers);
        watchers.entry(watched.to_owned()).or_insert_with(|| broadcast::channel(BACKLOG).0).subscribe()
    }

    pub(crate) fn is_watched(&self, watched: &str) -> bool {
        lock(&self.watchers).get(watched).is_some_and(|watchers| watchers.receiver_count() > 0)
    }

    /// Whether anything is waited for.
    pub(crate) fn is_in_use(&self) -> bool {
        let mut watchers = lock(&self.watchers);
        watchers.retain(|_, watchers| watchers.receiver_count() > 0);
        self.wakeups.remove_unused() || !watchers.is_empty()
    }

    /// Has all waiters and watchers look at the server.
    pub(crate) fn interrupt(&self) {
        self.wakeups.wake_all();
        lock(&self.watchers).clear();
    }

    /// Wakes the waiter of an entry that was removed, and reports a loss if this session has not removed it.
    pub(crate) fn removed(&self, nonce: Nonce) {
        if self.entries.removed(nonce) {
            // Without a receiver the session was dropped.
            self.losses.send(Loss::Entry(nonce)).ok();
        }
        self.wakeups.wake(&nonce.to_string(), Wakeup::Removed);
    }

    /// Reports the end of the session, once.
    pub(crate) fn end(&self, error: Error) {
        if !self.ended.swap(true, Ordering::SeqCst) {
            self.losses.send(Loss::Session(error)).ok();
            self.interrupt();
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Makes sure that the session looks at the server when a session may be over, in `rest` seconds.
    pub(crate) fn expect_expiry(&self, rest: Option<f64>) {
        let rest = rest.and_then(|rest| Duration::try_from_secs_f64(rest.max(0.005)).ok()).unwrap_or(LONGEST_PAUSE);
        let look = Instant::now() + rest;
        let mut next_look = lock(&self.next_look);
        if look < *next_look {
            *next_look = look;
            self.call_maintenance();
        }
    }

    /// Has the maintenance of the session look what there is to do.
    pub(crate) fn call_maintenance(&self) {
        self.maintenance.notify_one();
    }

    /// Waits until the maintenance is called or a look is due. Returns whether one is.
    pub(crate) async fn maintenance_is_due(&self) -> bool {
        let due = *lock(&self.next_look);
        let is_due = tokio::select! {
            () = tokio::time::sleep_until(due) => true,
            () = self.maintenance.notified() => false,
        };
        if is_due {
            *lock(&self.next_look) = Instant::now() + LONGEST_PAUSE;
        }
        is_due
    }
}
