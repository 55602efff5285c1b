//! The state of a followed roster. Its copies share the entries, so each watcher may keep the state that it has seen.

use std::collections::HashSet;
use std::sync::Arc;

use super::entry_tree::{Difference, EntryTree};
use crate::driver::{Change, Entry, Snapshot, Update};

/// A roster after an update.
#[derive(Clone, Debug, Default)]
pub(crate) struct RosterState {
    is_declared: bool,
    entries: EntryTree,
}

impl RosterState {
    pub(crate) fn is_declared(&self) -> bool {
        self.is_declared
    }

    /// The first entry: the leader of an election.
    pub(crate) fn first(&self) -> Option<&Entry> {
        self.entries.first().map(Arc::as_ref)
    }

    /// All entries in ascending order of their seqs.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.entries()
    }

    /// The entries that differ from those of `before`. The time depends on their number only.
    pub(crate) fn differences(&self, before: &Self) -> Vec<Difference> {
        self.entries.differences(&before.entries)
    }

    /// Applies an update and returns whether anything has changed.
    pub(super) fn apply(&mut self, update: Update) -> bool {
        let before = self.clone();
        match update {
            Update::Snapshot(snapshot) => self.become_equal(snapshot),
            Update::Changes(changes) => changes.into_iter().for_each(|change| self.change(change)),
        }
        self.is_declared != before.is_declared || !self.entries.is_same(&before.entries)
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Entered(entry) => self.insert(entry),
            Change::Left(seq) => self.entries.remove(seq),
            Change::Replaced { seq, value } => {
                if let Some(entry) = self.entries.get(seq).map(|entry| Entry { value, ..(**entry).clone() }) {
                    self.insert(entry);
                }
            }
            Change::Declared(is_declared) => self.is_declared = is_declared,
        }
    }

    /// Changes only what differs, so that the other entries stay shared.
    fn become_equal(&mut self, snapshot: Snapshot) {
        self.is_declared = snapshot.declared;
        let seqs: HashSet<_> = snapshot.entries.iter().map(|entry| entry.seq).collect();
        for entry in self.entries() {
            if !seqs.contains(&entry.seq) {
                self.entries.remove(entry.seq);
            }
        }
        snapshot.entries.into_iter().for_each(|entry| self.insert(entry));
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.get(entry.seq).is_none_or(|known| **known != entry) {
            self.entries.insert(entry);
        }
    }
}
