//! Removes the znodes of rosters that are no longer used, so that names that were used once cost nothing.
//!
//! - Each session removes the rosters that it used, some time after their last use and when it closes.
//! - A new session looks at some rosters that other sessions may have left behind.
//! - The delete is conditional: it fails if the roster has entries or was declared. A client that misses a roster creates it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};
use tooz_core::driver::Kind;
use tooz_core::driver::support::lock;

use crate::client::{Backend, Client};
use crate::layout::{Layout, UNDECLARED, child};
use crate::own_entries::OwnEntries;

/// How long a roster stays after its last use, so that a lock in steady use is not created again and again.
const IDLE: Duration = Duration::from_secs(20);

/// How many rosters of each kind a new session looks at.
const ORPHANS: usize = 100;

/// How many requests a closing session sends at once.
const BATCH: usize = 32;

/// The rosters that a session has used.
#[derive(Debug)]
pub(crate) struct Cleanup {
    client: Arc<Client>,
    layout: Arc<Layout>,
    own: Arc<OwnEntries>,
    used: Mutex<HashMap<String, Instant>>,
}

impl Cleanup {
    pub(crate) fn new(client: Arc<Client>, layout: Arc<Layout>, own: Arc<OwnEntries>) -> Self {
        Self { client, layout, own, used: Mutex::default() }
    }

    /// Records that a roster is used now.
    pub(crate) fn used(&self, roster: &str) {
        lock(&self.used).insert(roster.to_owned(), Instant::now());
    }

    /// Removes the session's entries, and the rosters that are empty then, as far as time allows. Entries of unknown outcome
    /// end with the session.
    pub(crate) async fn remove_all(&self, backend: &dyn Backend) {
        for batch in self.own.drain().chunks(BATCH) {
            join_all(batch.iter().map(|path| backend.delete(path, None))).await;
        }
        let rosters: Vec<_> = lock(&self.used).drain().map(|(roster, _)| roster).collect();
        for batch in rosters.chunks(BATCH) {
            join_all(batch.iter().map(|roster| backend.delete(roster, Some(UNDECLARED)))).await;
        }
    }

    async fn adopt_orphans(&self) {
        for kind in Kind::ALL {
            let parent = self.layout.kind(kind);
            let mut names = self.client.children(&parent).await.unwrap_or_default();
            names.shuffle(&mut rand::rng());
            names.iter().take(ORPHANS).for_each(|name| self.used(&child(&parent, name)));
        }
    }

    async fn remove_idle(&self) {
        let is_idle = |at: &Instant| at.elapsed() > IDLE;
        let idle: Vec<_> =
            lock(&self.used).iter().filter(|(_, at)| is_idle(at)).map(|(roster, _)| roster.clone()).collect();
        for roster in idle.into_iter().filter(|roster| !self.own.uses(roster)) {
            if self.remove_if_empty(&roster).await {
                lock(&self.used).remove(&roster);
            }
        }
    }

    /// Returns whether the server has answered.
    async fn remove_if_empty(&self, roster: &str) -> bool {
        // A read is cheap; a delete that fails is a transaction all the same.
        match self.client.exists(roster).await {
            Ok(Some(stat)) if stat.children == 0 && stat.version == UNDECLARED => {
                let deleted = self.client.delete(roster, Some(UNDECLARED)).await;
                !deleted.is_err_and(|fault| fault.is_retryable() || fault.is_session_lost())
            }
            answer => answer.is_ok(),
        }
    }
}

/// Runs as long as the session.
pub(crate) async fn run(cleanup: Weak<Cleanup>) {
    sleep(IDLE / 4).await;
    if let Some(cleanup) = cleanup.upgrade() {
        cleanup.adopt_orphans().await;
    }
    loop {
        sleep(IDLE / 4).await;
        let Some(cleanup) = cleanup.upgrade().filter(|cleanup| cleanup.client.check().is_ok()) else { return };
        cleanup.remove_idle().await;
    }
}
