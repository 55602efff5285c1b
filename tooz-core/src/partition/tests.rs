//! The ring against a plain model, and its limits.

use std::collections::{BTreeMap, HashMap};

use md5::{Digest, Md5};
use proptest::prelude::*;

use super::hash_ring::{HashRing, position_count};

fn keys() -> impl Iterator<Item = String> {
    (0..20_000).map(|number| format!("object-{number}"))
}

/// A plain model of Python's ring: the circle after the given nodes were added one by one.
fn model(nodes: &[(String, u32)], partitions: u32) -> BTreeMap<u128, &str> {
    let mut circle = BTreeMap::new();
    for (name, weight) in nodes {
        for repeats in 2..2 + (partitions * weight) as usize {
            circle.insert(u128::from_be_bytes(Md5::digest(name.repeat(repeats)).into()), name.as_str());
        }
    }
    circle
}

#[test]
fn keys_are_spread_by_weight() {
    let ring = HashRing::weighted([("a", 1), ("b", 2), ("c", 3)], 1024);
    let mut counts: HashMap<&[u8], i32> = HashMap::new();
    keys().for_each(|key| *counts.entry(ring.node_for(key).expect("a node")).or_default() += 1);
    for (name, weight) in [("a", 1), ("b", 2), ("c", 3)] {
        let (fair, count) = (20_000 * weight / 6, counts[name.as_bytes()]);
        assert!((count - fair).abs() < fair / 10, "{name} has {count} keys; {fair} would be fair");
    }
}

#[test]
fn a_node_of_weight_zero_owns_nothing() {
    let ring = HashRing::weighted([("idle", 0), ("busy", 1)], 32);
    assert!(ring.contains("idle"));
    assert!(keys().all(|key| ring.nodes_for(key, 2, &[]) == [b"busy"]));
    assert!(HashRing::new(["a"], 0).nodes_for("key", 1, &[]).is_empty());
}

#[test]
fn absurd_numbers_exhausted_the_memory() {
    assert_eq!(position_count(u32::MAX, u32::MAX), HashRing::MAX_POSITIONS);
    assert_eq!(position_count(u32::MAX, 0), 0);
    assert_eq!(position_count(1_000, 1_000), 1_000_000);
}

#[test]
fn debug_shows_nodes_only() {
    let ring = HashRing::new([b"\xffa"], 32);
    assert_eq!(format!("{ring:?}"), r#"HashRing { partitions: 32, nodes: [("\\xffa", 1)], .. }"#);
}

proptest! {
    // Short names of one letter repeat each other, so many positions are claimed twice.
    #[test]
    fn ring_equals_the_model(
        steps in prop::collection::vec(("a{0,4}|[ab]{1,3}", 0..3_u32, any::<bool>()), 1..12),
        partitions in 1..9_u32,
        queried in prop::collection::vec(".{0,6}", 20),
    ) {
        let (mut ring, mut live) = (HashRing::new::<[&str; 0]>([], partitions), Vec::new());
        for (name, weight, add) in steps {
            live.retain(|(other, _)| *other != name);
            if add {
                ring.add_node(name.as_str(), weight);
                live.push((name, weight));
            } else {
                ring.remove_node(name);
            }
        }
        let circle = model(&live, partitions);
        prop_assert_eq!(ring.position_count(), circle.len());
        for key in queried {
            let digest = u128::from_be_bytes(Md5::digest(&key).into());
            let mut expected: Vec<&[u8]> = Vec::new();
            for (_, name) in circle.range(digest + 1..).chain(circle.range(..=digest)) {
                if !expected.contains(&name.as_bytes()) {
                    expected.push(name.as_bytes());
                }
            }
            prop_assert_eq!(ring.node_for(&key), expected.first().copied());
            prop_assert_eq!(ring.nodes_for(&key, usize::MAX, &[]), expected);
        }
    }

    #[test]
    fn a_ring_that_was_changed_equals_one_from_nothing(
        steps in prop::collection::vec(
            prop::collection::btree_map("a{0,4}|[ab]{1,3}", prop::option::of(0..3_u32), 0..5),
            1..12,
        ),
        partitions in 1..9_u32,
    ) {
        let (mut ring, mut present) = (HashRing::new::<[&str; 0]>([], partitions), BTreeMap::new());
        for step in steps {
            for (name, weight) in &step {
                match weight {
                    Some(weight) => drop(present.insert(name.clone(), *weight)),
                    None => drop(present.remove(name)),
                }
            }
            ring.change(step.into_iter().map(|(name, weight)| (name.into_bytes(), weight)).collect());
            prop_assert!(ring.is_equal(&HashRing::weighted(present.clone(), partitions)));
        }
        let present: Vec<_> = present.into_iter().collect();
        prop_assert_eq!(ring.position_count(), model(&present, partitions).len());
    }

    #[test]
    fn only_keys_of_the_removed_node_move(
        names in prop::collection::btree_set("a{1,4}|[a-z]{1,8}", 2..10),
        victim in any::<prop::sample::Index>(),
    ) {
        let full = HashRing::new(names.iter().map(String::as_str), 32);
        let victim = names.iter().nth(victim.index(names.len())).expect("an index within the set").as_bytes();
        let mut reduced = full.clone();
        reduced.remove_node(victim);
        for key in keys().take(500) {
            let owners = full.nodes_for(&key, 2, &[]);
            let was_victims = owners[0] == victim;
            prop_assert_eq!(full.nodes_for(&key, 1, &[victim]), [owners[usize::from(was_victims)]]);
            if was_victims {
                prop_assert_ne!(reduced.node_for(&key), Some(victim));
            } else {
                prop_assert_eq!(reduced.node_for(&key), Some(owners[0]));
            }
        }
    }
}
