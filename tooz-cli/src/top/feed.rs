//! Reads the backend for the view, which costs nothing while nothing changes.
//!
//! - The names are listed at first. Then the backend reports each name that comes into use.
//! - Each object is followed by a task of its own from then on, which the backend notifies of each change; see `follower`.
//!   A task ends when its object was not in use for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tooz::{Coordinator, NewName, Result};

use super::follower::follow;
use super::update::Update;
use crate::inspect::{Kind, Object, names};

/// How many updates may wait for the screen.
const PENDING: usize = 1024;
/// How many objects are read for the first time at once, so that a slow server is not flooded.
const STARTING: usize = 16;
/// The shortest pause between two listings.
const PAUSE: Duration = Duration::from_millis(40);
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Starts to read. Dropping the receiver ends all tasks.
pub(super) fn start(coordinator: &Coordinator) -> mpsc::Receiver<Update> {
    let (updates, receiver) = mpsc::channel(PENDING);
    let feed = Feed {
        coordinator: coordinator.clone(),
        updates: updates.clone(),
        starting: Arc::new(Semaphore::new(STARTING)),
        followers: JoinSet::new(),
        followed: HashMap::new(),
        next_listing: Instant::now(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = feed.run() => {}
            () = updates.closed() => {}
        }
    });
    receiver
}

/// Learns the names and keeps a task for each object.
struct Feed {
    coordinator: Coordinator,
    updates: mpsc::Sender<Update>,
    starting: Arc<Semaphore>,
    /// The tasks that follow objects. Each returns its object when it ends, and the error that ended it.
    followers: JoinSet<(Object, Result<()>)>,
    /// What is followed, each with whether it was named again since then.
    followed: HashMap<Object, bool>,
    next_listing: Instant,
}

impl Feed {
    /// Follows each object that is named.
    async fn run(mut self) {
        let mut names = self.coordinator.watch_names();
        loop {
            let mut outcome = tokio::select! {
                name = names.next() => match name {
                    Ok(name) => self.add(name).await,
                    Err(error) => Err(error),
                },
                Some(ended) = self.followers.join_next() => ended.map_or(Ok(()), |ended| self.end(ended)),
            };
            // Nothing is sent while all is well, because the screen would be drawn before the object is known.
            while let Err(error) = outcome {
                self.send(Update::Backend(Err(error.to_string()))).await;
                sleep(RETRY).await;
                outcome = self.list().await;
                if outcome.is_ok() {
                    self.send(Update::Backend(Ok(()))).await;
                }
            }
        }
    }

    async fn add(&mut self, name: NewName) -> Result<()> {
        match Object::of(name) {
            Some(object) => self.follow(object),
            None => {
                sleep_until(self.next_listing).await;
                let began = Instant::now();
                self.list().await?;
                // The pause is at least as long as the listing before it, so that a busy server is not kept listing.
                self.next_listing = Instant::now() + began.elapsed().max(PAUSE);
            }
        }
        Ok(())
    }

    /// Follows each object that is in use.
    async fn list(&mut self) -> Result<()> {
        for kind in Kind::ALL {
            for name in names(&self.coordinator, kind).await? {
                self.follow(Object { kind, name });
            }
        }
        Ok(())
    }

    /// Follows an object, or notes that it was named again.
    fn follow(&mut self, object: Object) {
        if let Some(is_named_again) = self.followed.get_mut(&object) {
            *is_named_again = true;
            return;
        }
        self.followed.insert(object.clone(), false);
        let (coordinator, updates, starting) = (self.coordinator.clone(), self.updates.clone(), self.starting.clone());
        self.followers.spawn(async move {
            let outcome = follow(&coordinator, &object, &updates, &starting).await;
            (object, outcome)
        });
    }

    /// Forgets an object that is no longer followed, or follows it anew if it may be in use again.
    fn end(&mut self, (object, outcome): (Object, Result<()>)) -> Result<()> {
        if self.followed.remove(&object) == Some(true) && outcome.is_ok() {
            self.follow(object);
        }
        outcome
    }

    async fn send(&self, update: Update) {
        // The receiver ends with the program.
        let _ = self.updates.send(update).await;
    }
}
