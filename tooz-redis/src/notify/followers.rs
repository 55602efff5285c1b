//! The followers of rosters inside the process, and what they receive.

use std::collections::HashMap;
use std::sync::Mutex;

use fred::bytes::Bytes;
use tokio::sync::mpsc;
use tooz_core::driver::support::lock;

/// How many notices may wait for a follower. With more it loses its place, and reads the roster again.
const BACKLOG: usize = 10_000;

/// What a follower receives.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A message of the roster's channel.
    Message(Bytes),
    /// The version after the last change that was published before this notice; 0 if the roster has lost it.
    Version(u64),
}

/// The followers of a client's sessions by the keys of their rosters. Their notices end when notifications may have been missed.
#[derive(Debug, Default)]
pub(super) struct Followers(Mutex<HashMap<String, Vec<mpsc::Sender<Notice>>>>);

impl Followers {
    pub(super) fn add(&self, roster: &str) -> mpsc::Receiver<Notice> {
        let (sender, notices) = mpsc::channel(BACKLOG);
        lock(&self.0).entry(roster.to_owned()).or_default().push(sender);
        notices
    }

    pub(super) fn notify(&self, roster: &str, notice: impl Fn() -> Notice) {
        if let Some(senders) = lock(&self.0).get_mut(roster) {
            senders.retain(|sender| sender.try_send(notice()).is_ok());
        }
    }

    /// Has all followers read again.
    pub(super) fn interrupt(&self) {
        lock(&self.0).clear();
    }

    /// The keys of the followed rosters.
    pub(super) fn rosters(&self) -> Vec<String> {
        let mut followers = lock(&self.0);
        followers.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        followers.keys().cloned().collect()
    }
}
