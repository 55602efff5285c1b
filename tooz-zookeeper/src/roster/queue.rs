//! A roster as ZooKeeper lists it: the names of its entries in rising order, and which entry blocks which.

use std::collections::HashSet;
use std::num::NonZeroU32;

use tooz_core::driver::{Mode, Nonce, Seq, admission};
use tracing::warn;

use crate::client::Stat;
use crate::layout::EntryName;

/// One entry, as far as its name tells.
#[derive(Debug)]
pub(super) struct ListedEntry {
    pub(super) name: String,
    pub(super) entry: EntryName,
}

/// The entries of a roster in rising order.
#[derive(Debug, Default)]
pub(super) struct Queue(Vec<ListedEntry>);

impl Queue {
    /// Reads the names of the children of `roster`, in any order. Znodes of other programs are skipped.
    pub(super) fn new(roster: &str, children: Vec<String>) -> Self {
        let mut entries = Vec::with_capacity(children.len());
        for name in children {
            match EntryName::parse(&name) {
                Some(entry) => entries.push(ListedEntry { name, entry }),
                None => warn!(roster, name, "skipped a znode in a roster that is not an entry"),
            }
        }
        // ZooKeeper's numbers wrap around, so they are compared by their distance from one of them.
        let base = entries.first().map_or(0, |first| first.entry.number);
        entries.sort_unstable_by_key(|listed| listed.entry.number.wrapping_sub(base));
        Self(entries)
    }

    pub(super) fn entries(&self) -> &[ListedEntry] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn find(&self, nonce: Nonce) -> Option<usize> {
        self.0.iter().position(|listed| listed.entry.nonce == nonce)
    }

    /// The entries that block an entry at `index`, the nearest first; empty if it is admitted.
    pub(super) fn blockers(&self, index: usize, mode: Mode, limit: NonZeroU32) -> Vec<&ListedEntry> {
        let mut conflicting = self.counting_before(index);
        conflicting.retain(|listed| admission::conflicts(mode, listed.entry.mode));
        if conflicting.len() < limit.get() as usize {
            return Vec::new();
        }
        conflicting.reverse();
        conflicting
    }

    /// Of the `blockers` of an entry, the one to watch. Without one the entry is the first waiter for several permits: any
    /// change of the roster may admit it.
    pub(super) fn to_watch<'a>(blockers: &[&'a ListedEntry], mode: Mode, limit: NonZeroU32) -> Option<&'a ListedEntry> {
        if limit.get() == 1 {
            return blockers.first().copied();
        }
        // An entry blocks as long as it is blocked itself, if its limit is not smaller.
        let still_blocks = |at: usize, EntryName { mode: theirs, limit: greater, .. }: &EntryName| {
            *theirs == mode && *greater >= limit && blockers.len() - 1 - at >= greater.get() as usize
        };
        blockers.iter().enumerate().find(|(at, listed)| still_blocks(*at, &listed.entry)).map(|(_, listed)| *listed)
    }

    /// Whether a later entry may [watch](Self::to_watch) the one at `index` until that is admitted.
    pub(super) fn is_watched(&self, index: usize) -> bool {
        let EntryName { mode, limit, .. } = self.0[index].entry;
        let watches = |later: &EntryName| later.mode == mode && later.limit <= limit && later.limit.get() > 1;
        self.0[index + 1..].iter().any(|listed| watches(&listed.entry))
    }

    /// The entries before `index` with this unique key.
    pub(super) fn with_key(&self, index: usize, key: &[u8]) -> Vec<&ListedEntry> {
        self.0[..index].iter().filter(|listed| listed.entry.key.as_deref() == Some(key)).collect()
    }

    /// The entries that count. Of several entries with one unique key only the first counts: the others are about to be
    /// removed, or to remove the first.
    pub(super) fn counting(&self) -> Vec<&ListedEntry> {
        self.counting_before(self.0.len())
    }

    fn counting_before(&self, index: usize) -> Vec<&ListedEntry> {
        let mut keys = HashSet::new();
        let before = self.0[..index].iter();
        before.filter(|listed| listed.entry.key.as_ref().is_none_or(|key| keys.insert(key))).collect()
    }
}

/// The seq of an entry.
pub(super) fn seq(stat: &Stat) -> Seq {
    Seq(stat.czxid.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn queue(entries: &[(&str, i32)]) -> Queue {
        let name = |(index, (head, number)): (usize, &(&str, i32))| {
            let (mode, key) = head.split_once(' ').unwrap_or((head, ""));
            let key = if key.is_empty() { String::new() } else { format!("{key}:") };
            format!("{mode}:1:{:032x}:{key}{number:010}", index)
        };
        Queue::new("/r", entries.iter().enumerate().map(name).collect())
    }

    fn numbers(listed: &[&ListedEntry]) -> Vec<i32> {
        listed.iter().map(|listed| listed.entry.number).collect()
    }

    #[test]
    fn order_survives_the_wrap_of_the_sequence_number() {
        let queue = queue(&[("x", i32::MIN), ("x", i32::MAX), ("x", i32::MIN + 1)]);
        let order: Vec<_> = queue.entries().iter().map(|listed| listed.entry.number).collect();
        assert_eq!(order, [i32::MAX, i32::MIN, i32::MIN + 1]);
        assert_eq!(numbers(&queue.blockers(2, Mode::Exclusive, ONE)), [i32::MIN, i32::MAX]);
    }

    #[test]
    fn readers_wait_for_writers_only() {
        let queue = queue(&[("s", 1), ("x", 2), ("s", 3), ("s", 4)]);
        assert_eq!(numbers(&queue.blockers(3, Mode::Shared, ONE)), [2]);
        assert_eq!(numbers(&queue.blockers(1, Mode::Exclusive, ONE)), [1]);
        assert!(queue.blockers(0, Mode::Exclusive, ONE).is_empty());
    }

    #[test]
    fn only_the_first_waiter_for_several_permits_watches_the_roster() {
        // The number of the entry that each waiter watches, and whether a later entry may watch it.
        let watched = |limits: &[u32]| {
            let name = |(index, limit): (usize, &u32)| format!("x:{limit}:{index:032x}:{index:010}");
            let queue = Queue::new("/r", limits.iter().enumerate().map(name).collect());
            let of = |index: usize| {
                let EntryName { mode, limit, .. } = queue.entries()[index].entry;
                let blockers = queue.blockers(index, mode, limit);
                let to_watch = Queue::to_watch(&blockers, mode, limit);
                (to_watch.map(|listed| listed.entry.number), queue.is_watched(index))
            };
            (0..limits.len()).map(of).collect::<Vec<_>>()
        };
        assert_eq!(watched(&[2, 2, 2, 2]), [(None, true), (None, true), (None, true), (Some(2), false)]);
        // An entry with a smaller limit may be blocked for longer.
        assert_eq!(watched(&[2, 2, 1, 2]), [(None, true), (None, true), (Some(1), false), (None, false)]);
        assert_eq!(watched(&[1, 1]), [(None, false), (Some(0), false)]);
    }

    #[test]
    fn a_key_counts_once() {
        let queue = queue(&[("x a", 1), ("x a", 2), ("x b", 3)]);
        assert_eq!(numbers(&queue.counting()), [1, 3]);
        assert_eq!(numbers(&queue.with_key(1, b"a")), [1]);
        assert_eq!(numbers(&queue.blockers(2, Mode::Exclusive, ONE)), [1]);
    }
}
