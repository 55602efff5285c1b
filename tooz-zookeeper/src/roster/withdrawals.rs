//! The nonces that are to be withdrawn, in batches.
//!
//! Withdrawals that arrive while a roster is listed share the next listing. So thousands of dropped requests do not list a long
//! roster thousands of times.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tooz_core::driver::Nonce;
use tooz_core::driver::support::lock;

#[derive(Debug, Default)]
struct Batch {
    nonces: HashSet<Nonce>,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

/// The nonces that are to be withdrawn, by roster.
#[derive(Debug, Default)]
pub(crate) struct Withdrawals(Mutex<HashMap<String, Batch>>);

impl Withdrawals {
    /// Adds a nonce. The caller locks the returned mutex and then removes what is still [pending](Self::pending).
    pub(super) fn add(&self, roster: &str, nonce: Nonce) -> Arc<tokio::sync::Mutex<()>> {
        let mut batches = lock(&self.0);
        let batch = batches.entry(roster.to_owned()).or_default();
        batch.nonces.insert(nonce);
        batch.one_at_a_time.clone()
    }

    pub(super) fn pending(&self, roster: &str) -> HashSet<Nonce> {
        lock(&self.0).get(roster).map(|batch| batch.nonces.clone()).unwrap_or_default()
    }

    pub(super) fn done(&self, roster: &str, nonces: &HashSet<Nonce>) {
        let mut batches = lock(&self.0);
        if let Some(batch) = batches.get_mut(roster) {
            batch.nonces.retain(|nonce| !nonces.contains(nonce));
            if batch.nonces.is_empty() {
                batches.remove(roster);
            }
        }
    }
}
