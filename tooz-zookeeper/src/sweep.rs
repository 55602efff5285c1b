//! Removes the parents of rosters that nobody uses any more, so that used-up names cost nothing.
//!
//! A parent that was declared has a version above zero, and one that is in use has children, so a conditional delete
//! can never remove too much. Whoever finds a parent missing creates it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};
use tooz_core::driver::Kind;

use crate::client::Fault;
use crate::session::Inner;
use crate::turn::is_long;

/// The version of a parent that exists for its entries alone.
pub(crate) const UNDECLARED: i32 = 0;

/// How long a parent stays after its last use, so that a lock that is taken again and again is not built anew.
const IDLE: Duration = Duration::from_secs(20);

/// How many parents that others have left behind, by crashing, a new session looks at in each kind.
const ORPHANS: usize = 100;

/// What a session knows of a parent that it has used.
#[derive(Debug)]
struct Used {
    at: Instant,
    /// How many entries stood in line when we last stood there.
    line: usize,
    /// Whether we have told there that an entry was admitted.
    announced: bool,
}

impl Default for Used {
    fn default() -> Self {
        Self { at: Instant::now(), line: 0, announced: false }
    }
}

/// The parents that this session has used.
#[derive(Debug, Default)]
pub(crate) struct Parents(Mutex<HashMap<String, Used>>);

impl Parents {
    pub(crate) fn used(&self, parent: &str) {
        let mut parents = self.lock();
        match parents.get_mut(parent) {
            Some(used) => used.at = Instant::now(),
            None => drop(parents.insert(parent.to_owned(), Used::default())),
        }
    }

    /// So many entries stand in line.
    pub(crate) fn listed(&self, parent: &str, line: usize) {
        self.lock().entry(parent.to_owned()).or_default().line = line;
    }

    /// To be called before it is told that an entry was admitted.
    pub(crate) fn announced(&self, parent: &str) {
        self.lock().entry(parent.to_owned()).or_default().announced = true;
    }

    /// Whether the line was long when we last stood there.
    pub(crate) fn has_long_line(&self, parent: &str) -> bool {
        self.lock().get(parent).is_some_and(|used| is_long(used.line))
    }

    pub(crate) fn drain(&self) -> Vec<String> {
        self.lock().drain().map(|(parent, _)| parent).collect()
    }

    /// Those that were not used for a while, each with whether there is an announcement of ours.
    fn idle(&self) -> Vec<(String, bool)> {
        let parents = self.lock();
        let idle = parents.iter().filter(|(_, used)| used.at.elapsed() > IDLE);
        idle.map(|(parent, used)| (parent.clone(), used.announced)).collect()
    }

    /// A poisoned mutex means that a thread panicked between two complete changes; the map is sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs as long as the session does.
pub(crate) async fn run(inner: Weak<Inner>) {
    sleep(IDLE / 4).await;
    if let Some(inner) = inner.upgrade() {
        inner.adopt_orphans().await;
    }
    loop {
        sleep(IDLE / 4).await;
        let Some(inner) = inner.upgrade() else { return };
        if inner.client.check().is_err() {
            return;
        }
        inner.sweep().await;
    }
}

impl Inner {
    async fn adopt_orphans(self: &Arc<Self>) {
        for kind in Kind::ALL {
            let parent = self.layout.kind(kind);
            let mut names = self.client.children(&parent).await.unwrap_or_default();
            names.shuffle(&mut rand::rng());
            names.truncate(ORPHANS);
            names.iter().for_each(|name| self.parents.used(&format!("{parent}/{name}")));
        }
    }

    async fn sweep(&self) {
        for (parent, announced) in self.parents.idle() {
            if self.mine.uses(&parent) {
                continue;
            }
            if announced {
                // Who still stands in line needs a listing at most.
                let _ = self.client.delete(&self.layout.turn(&parent), None).await;
            }
            // A look is cheap; a delete that fails is a transaction all the same.
            let gone = match self.client.exists(&parent).await {
                Ok(Some(stat)) if stat.children == 0 && stat.version == UNDECLARED => {
                    !matches!(self.client.delete(&parent, Some(UNDECLARED)).await, Err(Fault::Away(_) | Fault::Over(_)))
                }
                Ok(_) => true,
                Err(_) => false,
            };
            if gone {
                self.parents.lock().remove(&parent);
            }
        }
    }
}
