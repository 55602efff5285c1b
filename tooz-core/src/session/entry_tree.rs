//! The entries of a roster in a persistent tree. A copy costs nothing. The time to compare two versions depends on how many
//! entries differ, not on how many there are.
//!
//! - The tree is a treap: ordered by seq, and a heap by a priority that is computed from the seq. Its shape depends only
//!   on the seqs, so equal parts of two versions have the same shape, and unchanged parts are the same nodes.
//! - `insert` and `remove` split the tree at a seq and join the parts; both copy only the path to that seq.
//! - A comparison skips every subtree that both versions share.
//!
//! Source: R. Seidel and C. Aragon, "Randomized search trees", 1996; G. Blelloch and M. Reid-Miller, "Fast set operations
//! using treaps", 1998.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::driver::{Entry, Seq};

/// Entries in ascending order of their seqs.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntryTree(Option<Arc<Node>>);

#[derive(Debug)]
struct Node {
    entry: Arc<Entry>,
    left: EntryTree,
    right: EntryTree,
}

/// One entry that differs between two versions of a roster.
#[derive(Debug)]
pub(crate) enum Difference {
    Entered(Arc<Entry>),
    /// Carries the entry with its last value.
    Left(Arc<Entry>),
    /// Carries the entry with its new value.
    Replaced(Arc<Entry>),
}

impl EntryTree {
    pub(crate) fn first(&self) -> Option<&Arc<Entry>> {
        let node = self.0.as_ref()?;
        node.left.first().or(Some(&node.entry))
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Arc<Entry>> {
        let node = self.0.as_ref()?;
        match seq.cmp(&node.entry.seq) {
            Ordering::Less => node.left.get(seq),
            Ordering::Equal => Some(&node.entry),
            Ordering::Greater => node.right.get(seq),
        }
    }

    /// All entries, in order.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = Vec::new();
        self.visit(&mut |entry| entries.push(entry.clone()));
        entries
    }

    /// Adds the entry. Replaces an entry with the same seq.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let (before, _, after) = self.split(entry.seq);
        let node = Self::node(Arc::new(entry), Self::default(), Self::default());
        *self = before.join(&node).join(&after);
    }

    pub(crate) fn remove(&mut self, seq: Seq) {
        if self.get(seq).is_some() {
            let (before, _, after) = self.split(seq);
            *self = before.join(&after);
        }
    }

    /// Whether both are the same version.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// What leads from `before` to this version, in order of the seqs.
    pub(crate) fn differences(&self, before: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        compare(before, self, &mut differences);
        differences
    }

    fn node(entry: Arc<Entry>, left: Self, right: Self) -> Self {
        Self(Some(Arc::new(Node { entry, left, right })))
    }

    fn visit(&self, see: &mut impl FnMut(&Arc<Entry>)) {
        if let Some(node) = &self.0 {
            node.left.visit(see);
            see(&node.entry);
            node.right.visit(see);
        }
    }

    /// The entries before the seq, the entry with the seq, and the entries after it.
    fn split(&self, seq: Seq) -> (Self, Option<Arc<Entry>>, Self) {
        let Some(node) = &self.0 else { return Default::default() };
        match seq.cmp(&node.entry.seq) {
            Ordering::Less => {
                let (before, found, after) = node.left.split(seq);
                (before, found, Self::node(node.entry.clone(), after, node.right.clone()))
            }
            Ordering::Equal => (node.left.clone(), Some(node.entry.clone()), node.right.clone()),
            Ordering::Greater => {
                let (before, found, after) = node.right.split(seq);
                (Self::node(node.entry.clone(), node.left.clone(), before), found, after)
            }
        }
    }

    /// Both together; every seq of `after` is greater than every seq of this tree.
    fn join(&self, after: &Self) -> Self {
        let (Some(one), Some(other)) = (&self.0, &after.0) else {
            return if self.0.is_some() { self.clone() } else { after.clone() };
        };
        if one.is_above(other) {
            Self::node(one.entry.clone(), one.left.clone(), one.right.join(after))
        } else {
            Self::node(other.entry.clone(), self.join(&other.left), other.right.clone())
        }
    }
}

impl Node {
    /// Whether this node is above the other one in every tree that contains both.
    fn is_above(&self, other: &Self) -> bool {
        let rank = |node: &Self| (priority(node.entry.seq), node.entry.seq);
        rank(self) > rank(other)
    }
}

/// The finalizer of splitmix64, which spreads consecutive numbers evenly. No two seqs have the same priority.
fn priority(seq: Seq) -> u64 {
    let mixed = (seq.0 ^ (seq.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn compare(before: &EntryTree, after: &EntryTree, differences: &mut Vec<Difference>) {
    if before.is_same(after) {
        return;
    }
    match (&before.0, &after.0) {
        (old, Some(new)) if old.as_ref().is_none_or(|old| !old.is_above(new)) => {
            let (old_left, old_entry, old_right) = before.split(new.entry.seq);
            compare(&old_left, &new.left, differences);
            differences.extend(difference(old_entry, &new.entry));
            compare(&old_right, &new.right, differences);
        }
        (Some(old), _) => {
            let (new_left, _, new_right) = after.split(old.entry.seq);
            compare(&old.left, &new_left, differences);
            differences.push(Difference::Left(old.entry.clone()));
            compare(&old.right, &new_right, differences);
        }
        (None, _) => {}
    }
}

/// The difference between two entries with one seq. Entries of different histories may have the same seq.
fn difference(before: Option<Arc<Entry>>, after: &Arc<Entry>) -> impl IntoIterator<Item = Difference> + use<> {
    match before {
        None => [Some(Difference::Entered(after.clone())), None],
        Some(before) if before.nonce != after.nonce => {
            [Some(Difference::Left(before)), Some(Difference::Entered(after.clone()))]
        }
        Some(before) => [(before != *after).then(|| Difference::Replaced(after.clone())), None],
    }
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::driver::{Mode, Nonce};

    fn entry(seq: u64, value: u8) -> Entry {
        let (nonce, limit) = (Nonce(seq.into()), NonZeroU32::MIN);
        Entry { seq: Seq(seq), nonce, key: None, mode: Mode::Member, limit, value: vec![value] }
    }

    type Steps = Vec<(u64, Option<u8>)>;

    fn steps() -> impl Strategy<Value = Steps> {
        prop::collection::vec((0..60_u64, prop::option::of(0..3_u8)), 0..80)
    }

    fn apply(tree: &mut EntryTree, model: &mut BTreeMap<u64, u8>, steps: Steps) {
        for (seq, value) in steps {
            match value {
                Some(value) => {
                    tree.insert(entry(seq, value));
                    model.insert(seq, value);
                }
                None => {
                    tree.remove(Seq(seq));
                    model.remove(&seq);
                }
            }
        }
    }

    fn contents(tree: &EntryTree) -> BTreeMap<u64, u8> {
        tree.entries().iter().map(|entry| (entry.seq.0, entry.value[0])).collect()
    }

    proptest! {
        #[test]
        fn tree_equals_a_sorted_map(first in steps(), second in steps()) {
            let (mut tree, mut model) = (EntryTree::default(), BTreeMap::new());
            apply(&mut tree, &mut model, first);
            let (before, model_before) = (tree.clone(), model.clone());
            apply(&mut tree, &mut model, second);
            prop_assert_eq!(contents(&before), model_before.clone(), "an earlier version has changed");
            prop_assert_eq!(contents(&tree), model.clone());
            prop_assert!(tree.entries().is_sorted_by_key(|entry| entry.seq));
            prop_assert_eq!(tree.first().map(|entry| entry.seq.0), model.keys().next().copied());
            let mut followed = model_before;
            for difference in tree.differences(&before) {
                match difference {
                    Difference::Entered(new) => prop_assert_eq!(followed.insert(new.seq.0, new.value[0]), None),
                    Difference::Left(old) => prop_assert_eq!(followed.remove(&old.seq.0), Some(old.value[0])),
                    Difference::Replaced(new) => {
                        prop_assert_ne!(followed.insert(new.seq.0, new.value[0]), Some(new.value[0]));
                    }
                }
            }
            prop_assert_eq!(followed, model);
        }
    }

    #[test]
    fn one_change_of_many_entries_copies_and_compares_one_path() {
        let mut tree = EntryTree::default();
        (0..10_000).for_each(|seq| tree.insert(entry(seq, 0)));
        let before = tree.clone();
        tree.remove(Seq(5_000));
        let shared = |tree: &EntryTree| {
            let mut nodes = std::collections::HashSet::new();
            let mut stack = vec![tree.clone()];
            while let Some(EntryTree(Some(node))) = stack.pop() {
                stack.extend([node.left.clone(), node.right.clone()].into_iter().filter(|tree| tree.0.is_some()));
                nodes.insert(Arc::as_ptr(&node));
            }
            nodes
        };
        let copied = shared(&tree).difference(&shared(&before)).count();
        assert!(copied < 100, "{copied} nodes of 9,999 were copied");
        assert_eq!(tree.differences(&before).len(), 1);
    }
}
