//! The tasks of this process that wait: for a turn, or for a change of a roster or topic.
//!
//! A wake-up only says when to read the database again. A task subscribes under the lock that protects the state, in the
//! same step in which it reads, so it misses no change after that.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::peers::notify::Notification;

/// The result of a read, or when to read again.
#[derive(Debug)]
pub(crate) enum Read<T> {
    Ready(T),
    Wait(OwnedNotified),
}

/// The notifications for which tasks of this process wait.
#[derive(Debug, Default)]
pub(crate) struct Wakeups(HashMap<Notification, Subscription>);

#[derive(Debug, Default)]
struct Subscription {
    notify: Arc<Notify>,
    /// No task needed it at the last tick either.
    idle: bool,
}

impl Wakeups {
    /// Wakes the tasks that wait for a notification.
    pub(crate) fn wake(&self, notification: Notification) {
        match notification {
            Notification::All => self.0.values().for_each(|subscription| subscription.notify.notify_waiters()),
            other => self.0.get(&other).into_iter().for_each(|subscription| subscription.notify.notify_waiters()),
        }
    }

    /// The subscription to a notification, which lives as long as it is used.
    pub(crate) fn subscribe(&mut self, notification: Notification) -> Arc<Notify> {
        let subscription = self.0.entry(notification).or_default();
        subscription.idle = false;
        subscription.notify.clone()
    }

    pub(crate) fn contains(&self, notification: Notification) -> bool {
        self.0.contains_key(&notification)
    }

    /// Removes the subscriptions that no task has used since the last call, and returns the objects among them.
    pub(crate) fn remove_idle(&mut self) -> Vec<i64> {
        let mut objects = Vec::new();
        self.0.retain(|notification, subscription| {
            let unused = Arc::strong_count(&subscription.notify) == 1;
            let stays = !(unused && subscription.idle);
            subscription.idle = unused;
            if let (false, Notification::Object(id)) = (stays, notification) {
                objects.push(*id);
            }
            stays
        });
        objects
    }
}
