//! A roster that is watched, with what was read of it, so that a change costs only the reads of what has changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tooz_core::driver::support::hashed_version;
use tooz_core::driver::{Entry, Snapshot};

use super::queue::{ListedEntry, Queue, seq};
use crate::client::{Client, Stat, Watch, any_fired};
use crate::error::Answer;
use crate::layout::{EntryName, UNDECLARED, child};

/// A roster as it was read. Each part has the watch that says when it is out of date.
#[derive(Debug, Default)]
pub(super) struct View {
    wakeup: Arc<Notify>,
    declared: Option<(bool, Watch)>,
    queue: Option<(Queue, Watch)>,
    values: HashMap<String, Value>,
}

#[derive(Debug)]
struct Value {
    entry: Entry,
    mzxid: i64,
    watch: Watch,
}

impl View {
    /// Reads what has changed. The entries are those of one moment; a value may be a little newer.
    pub(super) async fn refresh(&mut self, client: &Client, roster: &str) -> Answer<Snapshot> {
        loop {
            if is_out_of_date(&self.declared) {
                let (stat, watch) = client.exists_watched(roster, &self.wakeup).await?;
                self.declared = Some((stat.is_some_and(|stat| stat.version != UNDECLARED), watch));
            }
            if is_out_of_date(&self.queue) {
                let listed = client.children_watched(roster, &self.wakeup).await?;
                self.queue = listed.map(|(names, watch)| (Queue::new(roster, names), watch));
            }
            if self.read_values(client, roster).await? {
                return Ok(self.snapshot());
            }
            // An entry has left since the listing.
            self.queue = None;
        }
    }

    /// Waits until a part is out of date.
    pub(super) async fn out_of_date(&self) {
        any_fired(&self.wakeup, || self.has_fired()).await;
    }

    /// Whether a part is out of date.
    fn has_fired(&self) -> bool {
        is_out_of_date(&self.declared)
            || self.queue.as_ref().is_some_and(|(_, watch)| watch.has_fired())
            || self.values.values().any(|value| value.watch.has_fired())
    }

    /// Reads the values that are missing or out of date. Returns whether all entries still exist.
    async fn read_values(&mut self, client: &Client, roster: &str) -> Answer<bool> {
        let listed = self.queue.as_ref().map(|(queue, _)| queue.counting()).unwrap_or_default();
        let names: HashSet<_> = listed.iter().map(|listed| &*listed.name).collect();
        self.values.retain(|name, value| !value.watch.has_fired() && names.contains(&**name));
        let missing: Vec<&ListedEntry> =
            listed.into_iter().filter(|listed| !self.values.contains_key(&listed.name)).collect();
        let wakeup = &self.wakeup;
        let reads =
            missing.iter().map(|listed| async move { client.data_watched(&child(roster, &listed.name), wakeup).await });
        let mut is_complete = true;
        for (listed, answer) in missing.iter().zip(join_all(reads).await) {
            match answer? {
                Some((data, stat, watch)) => {
                    let value = Value { entry: entry(&listed.entry, data, &stat), mzxid: stat.mzxid, watch };
                    self.values.insert(listed.name.clone(), value);
                }
                None => is_complete = false,
            }
        }
        Ok(is_complete)
    }

    fn snapshot(&self) -> Snapshot {
        let mut values: Vec<_> = self.values.values().collect();
        values.sort_unstable_by_key(|value| value.entry.seq);
        let declared = self.declared.as_ref().is_some_and(|(declared, _)| *declared);
        // Every change of a value has a zxid of its own.
        let version = hashed_version(declared, values.iter().map(|value| (value.entry.seq, value.mzxid)));
        Snapshot { version, declared, entries: values.into_iter().map(|value| value.entry.clone()).collect() }
    }
}

fn is_out_of_date<T>(part: &Option<(T, Watch)>) -> bool {
    part.as_ref().is_none_or(|(_, watch)| watch.has_fired())
}

fn entry(name: &EntryName, value: Vec<u8>, stat: &Stat) -> Entry {
    let EntryName { mode, limit, nonce, ref key, .. } = *name;
    Entry { seq: seq(stat), nonce, key: key.clone(), mode, limit, value }
}
