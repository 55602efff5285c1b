//! A roster as ZooKeeper lists it: names of entries, in order, and who is blocked by whom.

use std::collections::HashSet;
use std::num::NonZeroU32;

use tooz_core::driver::{Mode, Nonce, admission};

use crate::layout::EntryName;

/// One entry, as far as its name tells.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) entry: EntryName,
}

/// The entries that stand, in rising order.
#[derive(Debug, Default)]
pub(crate) struct Line(Vec<Listed>);

impl Line {
    /// Reads the names of a roster's children, in any order; foreign ones are left out.
    pub(crate) fn new(children: Vec<String>) -> Self {
        let read = |name: String| EntryName::parse(&name).map(|entry| Listed { name, entry });
        let mut entries: Vec<_> = children.into_iter().filter_map(read).collect();
        // The numbers wrap around, so they are compared by their distance from one of them.
        let base = entries.first().map_or(0, |first| first.entry.number);
        entries.sort_unstable_by_key(|listed| listed.entry.number.wrapping_sub(base));
        Self(entries)
    }

    pub(crate) fn entries(&self) -> &[Listed] {
        &self.0
    }

    pub(crate) fn find(&self, nonce: Nonce) -> Option<usize> {
        self.0.iter().position(|listed| listed.entry.nonce == nonce)
    }

    /// Those that conflict with an entry of this mode standing at `index`, the nearest first. A unique key counts once.
    pub(crate) fn conflicts(&self, index: usize, mode: Mode) -> Vec<&Listed> {
        let mut before = self.standing_before(index);
        before.retain(|listed| admission::conflicts(mode, listed.entry.mode));
        before.reverse();
        before
    }

    /// What blocks an entry at `index`, the nearest first; empty if it is admitted.
    pub(crate) fn blockers(&self, index: usize, mode: Mode, limit: NonZeroU32) -> Vec<&Listed> {
        let mut conflicts = self.conflicts(index, mode);
        if conflicts.len() < limit.get() as usize {
            conflicts.clear();
        }
        conflicts
    }

    /// Whether an entry at `index` that `nearest` blocks is admitted when that one goes, if `nearest` was admitted. One
    /// with a key may begin to count when another goes.
    pub(crate) fn passes_on(&self, index: usize, nearest: &Listed) -> bool {
        let EntryName { mode, limit, .. } = nearest.entry;
        let has_keys = self.0[..index].iter().any(|listed| listed.entry.key.is_some());
        mode == Mode::Exclusive && limit == NonZeroU32::MIN && !has_keys
    }

    /// Earlier entries with the same unique key.
    pub(crate) fn same_key(&self, index: usize, key: Option<&[u8]>) -> Vec<&Listed> {
        let same = |listed: &&Listed| key.is_some() && listed.entry.key.as_deref() == key;
        self.0[..index].iter().filter(same).collect()
    }

    /// The entries that count: of several with one unique key only the first does, the others are about to go or to
    /// take over.
    pub(crate) fn standing(&self) -> Vec<&Listed> {
        self.standing_before(self.0.len())
    }

    fn standing_before(&self, index: usize) -> Vec<&Listed> {
        let mut keys = HashSet::new();
        let before = self.0[..index].iter();
        before.filter(|listed| listed.entry.key.as_ref().is_none_or(|key| keys.insert(key))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn line(entries: &[(&str, i32)]) -> Line {
        let name = |(index, (head, number)): (usize, &(&str, i32))| {
            let (mode, key) = head.split_once(' ').unwrap_or((head, ""));
            let key = if key.is_empty() { String::new() } else { format!("{key}:") };
            format!("{mode}:1:{:032x}:{key}{number:010}", index)
        };
        Line::new(entries.iter().enumerate().map(name).collect())
    }

    fn numbers(listed: &[&Listed]) -> Vec<i32> {
        listed.iter().map(|listed| listed.entry.number).collect()
    }

    #[test]
    fn order_survives_the_wrap_of_the_sequence_number() {
        let line = line(&[("x", i32::MIN), ("x", i32::MAX), ("x", i32::MIN + 1)]);
        let order: Vec<_> = line.entries().iter().map(|listed| listed.entry.number).collect();
        assert_eq!(order, [i32::MAX, i32::MIN, i32::MIN + 1]);
        assert_eq!(numbers(&line.blockers(2, Mode::Exclusive, ONE)), [i32::MIN, i32::MAX]);
    }

    #[test]
    fn readers_wait_for_writers_only() {
        let line = line(&[("s", 1), ("x", 2), ("s", 3), ("s", 4)]);
        assert_eq!(numbers(&line.blockers(3, Mode::Shared, ONE)), [2]);
        assert_eq!(numbers(&line.blockers(1, Mode::Exclusive, ONE)), [1]);
        assert!(line.blockers(0, Mode::Exclusive, ONE).is_empty());
    }

    #[test]
    fn a_key_counts_once() {
        let line = line(&[("x a", 1), ("x a", 2), ("x b", 3)]);
        assert_eq!(numbers(&line.standing()), [1, 3]);
        assert_eq!(numbers(&line.same_key(1, Some(b"a"))), [1]);
        assert_eq!(numbers(&line.conflicts(2, Mode::Exclusive)), [1]);
    }

    #[test]
    fn an_admission_is_passed_on_by_a_mutex_without_keys_alone() {
        let passes_on = |before: &[&str]| {
            let name = |(number, head): (usize, &&str)| {
                let (head, key) =
                    head.split_once(' ').map_or((*head, String::new()), |(head, key)| (head, format!("{key}:")));
                format!("{head}:{number:032x}:{key}{number:010}")
            };
            let line = Line::new(before.iter().chain(&["x:1"]).enumerate().map(name).collect());
            line.passes_on(before.len(), &line.entries()[before.len() - 1])
        };
        assert!(passes_on(&["x:1"]) && passes_on(&["s:1", "x:1", "m:1", "x:1"]));
        // The second of `k` counts when the first has gone.
        for before in [&["s:1"][..], &["x:2"], &["m:1"], &["x:1 k"], &["x:1 k", "x:1 k", "x:1"]] {
            assert!(!passes_on(before), "{before:?}");
        }
    }
}
