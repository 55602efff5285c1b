//! Wake-ups inside the process, by name: of a channel, or of the nonce of an entry that waits to be admitted.

use std::collections::HashMap;
use std::sync::Mutex;

use super::support::lock;
use tokio::sync::watch;

/// Why a waiter was woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wakeup {
    /// Something may have changed.
    #[default]
    Changed,
    /// The entry was admitted.
    Admitted,
    /// Another client removed the entry.
    Removed,
}

/// The waiters of a session. A name exists while there are receivers for it.
#[derive(Debug, Default)]
pub struct Wakeups(Mutex<HashMap<String, watch::Sender<Wakeup>>>);

impl Wakeups {
    /// Subscribes to `name`. `changed` on the receiver completes after the next wake-up, even if that came before the poll.
    pub fn subscribe(&self, name: &str) -> watch::Receiver<Wakeup> {
        let mut senders = lock(&self.0);
        match senders.get(name) {
            Some(sender) => sender.subscribe(),
            None => senders.entry(name.to_owned()).or_default().subscribe(),
        }
    }

    /// Wakes the waiters of `name`.
    pub fn wake(&self, name: &str, wakeup: Wakeup) {
        if let Some(sender) = lock(&self.0).get(name) {
            sender.send_replace(wakeup);
        }
    }

    /// Wakes all waiters, so that they read from the server again.
    pub fn wake_all(&self) {
        lock(&self.0).values().for_each(|sender| {
            sender.send_replace(Wakeup::Changed);
        });
    }

    /// Whether `name` has waiters.
    pub fn has_waiters(&self, name: &str) -> bool {
        lock(&self.0).get(name).is_some_and(|sender| sender.receiver_count() > 0)
    }

    /// Removes names without waiters, and returns whether any name is left.
    pub fn remove_unused(&self) -> bool {
        let mut senders = lock(&self.0);
        senders.retain(|_, sender| sender.receiver_count() > 0);
        !senders.is_empty()
    }
}
