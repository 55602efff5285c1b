//! The tasks of this process that wait: for a turn, for a change of a roster, for a message of a topic.
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

/// The tasks that wait in this process.
#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    turns: HashMap<i64, Arc<Notify>>,
    pub(crate) rosters: Subscriptions,
    pub(crate) topics: Subscriptions,
}

impl Wakeups {
    /// Wakes the tasks that wait for what a notification names.
    pub(crate) fn wake(&mut self, notification: Notification) {
        match notification {
            Notification::Turn(seq) => self.turns.remove(&seq).iter().for_each(|turn| turn.notify_waiters()),
            Notification::Roster(id) => self.rosters.wake(id),
            Notification::Topic(id) => self.topics.wake(id),
            Notification::All => {
                self.turns.drain().for_each(|(_, turn)| turn.notify_waiters());
                self.rosters.wake_all();
                self.topics.wake_all();
            }
            Notification::Evictions | Notification::Peers => {}
        }
    }

    /// Subscribes to the turn of the entry with this seq.
    pub(crate) fn turn(&mut self, seq: i64) -> OwnedNotified {
        self.turns.entry(seq).or_default().clone().notified_owned()
    }

    /// Forgets the turns for which no task waits any more.
    pub(crate) fn forget_turns(&mut self) {
        self.turns.retain(|_, turn| Arc::strong_count(turn) > 1);
    }
}

/// The rosters or topics of which other processes notify this one, because it is in their list of watchers or readers.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(HashMap<i64, Subscription>);

#[derive(Debug, Default)]
struct Subscription {
    notify: Arc<Notify>,
    /// No task waited for it at the last tick either.
    idle: bool,
}

impl Subscriptions {
    pub(crate) fn contains(&self, id: i64) -> bool {
        self.0.contains_key(&id)
    }

    pub(crate) fn subscribe(&mut self, id: i64) -> OwnedNotified {
        let subscription = self.0.entry(id).or_default();
        subscription.idle = false;
        subscription.notify.clone().notified_owned()
    }

    /// Takes out the subscriptions for which no task has waited since the last call.
    pub(crate) fn take_idle(&mut self) -> Vec<i64> {
        let mut taken = Vec::new();
        self.0.retain(|id, subscription| {
            let unused = Arc::strong_count(&subscription.notify) == 1;
            let ends = unused && subscription.idle;
            subscription.idle = unused;
            if ends {
                taken.push(*id);
            }
            !ends
        });
        taken
    }

    fn wake(&self, id: i64) {
        self.0.get(&id).into_iter().for_each(|subscription| subscription.notify.notify_waiters());
    }

    fn wake_all(&self) {
        self.0.values().for_each(|subscription| subscription.notify.notify_waiters());
    }
}
