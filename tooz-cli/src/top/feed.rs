//! Reads the backend for the view, which costs nothing while nothing changes.
//!
//! - The backend reports when a name comes into use. Then the names are listed.
//! - Each object is followed by a task of its own from then on, which the backend notifies of each change; see `follower`.
//!   A task ends when its object was not in use for a while.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tooz::{Coordinator, Result};

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
        followed: HashSet::new(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = feed.run() => {}
            () = updates.closed() => {}
        }
    });
    receiver
}

/// Lists the names and keeps a task for each object.
struct Feed {
    coordinator: Coordinator,
    updates: mpsc::Sender<Update>,
    starting: Arc<Semaphore>,
    /// The tasks that follow objects. Each returns its object when it ends, and the error that ended it.
    followers: JoinSet<(Object, Result<()>)>,
    followed: HashSet<Object>,
}

impl Feed {
    /// Lists the names whenever one has come into use or an object is no longer followed, because it may be in use again.
    async fn run(mut self) {
        let mut names = self.coordinator.watch_names();
        loop {
            let mut outcome = tokio::select! {
                changed = names.changed() => changed,
                Some(ended) = self.followers.join_next() => ended.map_or(Ok(()), |ended| self.forget(ended)),
            };
            let began = Instant::now();
            if outcome.is_ok() {
                outcome = self.list().await;
            }
            while let Err(error) = outcome {
                self.send(Update::Backend(Err(error.to_string()))).await;
                sleep(RETRY).await;
                outcome = self.list().await;
            }
            self.send(Update::Backend(Ok(()))).await;
            // A pause is at least as long as the listing before it, so that a busy server is not kept listing.
            sleep(began.elapsed().max(PAUSE)).await;
        }
    }

    fn forget(&mut self, (object, outcome): (Object, Result<()>)) -> Result<()> {
        self.followed.remove(&object);
        outcome
    }

    /// Follows each listed object that is not followed yet.
    async fn list(&mut self) -> Result<()> {
        for kind in Kind::ALL {
            for name in names(&self.coordinator, kind).await? {
                let object = Object { kind, name };
                if self.followed.insert(object.clone()) {
                    let (coordinator, updates) = (self.coordinator.clone(), self.updates.clone());
                    let starting = self.starting.clone();
                    self.followers.spawn(async move {
                        let outcome = follow(&coordinator, &object, &updates, &starting).await;
                        (object, outcome)
                    });
                }
            }
        }
        Ok(())
    }

    async fn send(&self, update: Update) {
        // The receiver ends with the program.
        let _ = self.updates.send(update).await;
    }
}
