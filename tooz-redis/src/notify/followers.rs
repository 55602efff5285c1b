//! The followers of rosters inside the process, and what they receive.

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

/// The followers of a session, each with the key of its roster. Their notices end when notifications may have been missed.
#[derive(Debug, Default)]
pub(super) struct Followers(Mutex<Vec<(String, mpsc::Sender<Notice>)>>);

impl Followers {
    pub(super) fn add(&self, roster: &str) -> mpsc::Receiver<Notice> {
        let (sender, notices) = mpsc::channel(BACKLOG);
        lock(&self.0).push((roster.to_owned(), sender));
        notices
    }

    pub(super) fn notify(&self, roster: &str, notice: impl Fn() -> Notice) {
        lock(&self.0).retain(|(followed, sender)| followed != roster || sender.try_send(notice()).is_ok());
    }

    /// Has all followers read again.
    pub(super) fn interrupt(&self) {
        lock(&self.0).clear();
    }

    /// The keys of the followed rosters.
    pub(super) fn rosters(&self) -> Vec<String> {
        let mut followers = lock(&self.0);
        followers.retain(|(_, sender)| !sender.is_closed());
        let mut rosters: Vec<_> = followers.iter().map(|(roster, _)| roster.clone()).collect();
        rosters.sort_unstable();
        rosters.dedup();
        rosters
    }
}
