//! The hash ring chooses the same nodes as Python's tooz 9.1.0.
//!
//! `vectors/make_hash_ring_vectors.py` made the vectors with the Python package and documents their format.

use serde::Deserialize;
use tooz_core::HashRing;

#[derive(Deserialize)]
struct Vectors {
    keys: Vec<Bytes>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    title: String,
    steps: Vec<Step>,
    positions: usize,
    names: Vec<Bytes>,
    queries: Vec<Query>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    New(Vec<Bytes>, u32),
    Add(Bytes, u32),
    Remove(Bytes),
}

#[derive(Deserialize)]
struct Query {
    replicas: usize,
    ignored: Vec<Bytes>,
    answers: String,
}

/// Bytes, stored in JSON as a string with one character per byte.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
struct Bytes(Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = std::char::TryFromCharError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.chars().map(u8::try_from).collect::<Result<_, _>>().map(Bytes)
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/hash_ring.json")).expect("the vectors have the documented format")
}

fn build(steps: &[Step]) -> HashRing {
    let mut ring = HashRing::default();
    for step in steps {
        match step {
            Step::New(nodes, partitions) => ring = HashRing::new(nodes.iter().cloned(), *partitions),
            Step::Add(node, weight) => {
                ring.add_node(node.clone(), *weight);
            }
            Step::Remove(node) => assert!(ring.remove_node(&node.0).is_some()),
        }
    }
    ring
}

#[test]
fn nodes_for_equals_python() {
    let Vectors { keys, cases } = vectors();
    assert!(keys.len() > 1_000 && cases.len() > 10, "the vectors are incomplete");
    for case in cases {
        let ring = build(&case.steps);
        for query in case.queries {
            let ignored: Vec<&[u8]> = query.ignored.iter().map(|name| name.0.as_slice()).collect();
            let answers: Vec<&str> = query.answers.split(' ').collect();
            assert_eq!(answers.len(), keys.len());
            for (key, expected) in keys.iter().zip(answers) {
                let mut answer: Vec<char> = ring
                    .nodes_for(&key.0, query.replicas, &ignored)
                    .iter()
                    .map(|node| digit(&case.names, node))
                    .collect();
                answer.sort_unstable();
                assert!(
                    answer.iter().copied().eq(expected.chars()),
                    "{}: key \"{}\", {} replicas: Python chooses {expected}, the ring {answer:?}",
                    case.title,
                    key.0.escape_ascii(),
                    query.replicas,
                );
            }
        }
    }
}

fn digit(names: &[Bytes], node: &[u8]) -> char {
    let index = names.iter().position(|name| name.0 == node).expect("the node is named in the case");
    char::from_digit(index as u32, 36).expect("a case has at most 36 names")
}

#[test]
fn position_count_equals_python() {
    for case in vectors().cases {
        assert_eq!(build(&case.steps).position_count(), case.positions, "{}", case.title);
    }
}

#[test]
fn node_for_is_the_first_of_nodes_for() {
    let Vectors { keys, cases } = vectors();
    for case in cases {
        let ring = build(&case.steps);
        for key in &keys {
            let all = ring.nodes_for(&key.0, usize::MAX, &[]);
            assert_eq!(ring.node_for(&key.0), all.first().copied(), "{}", case.title);
            assert!((0..4).all(|replicas| all.starts_with(&ring.nodes_for(&key.0, replicas, &[]))), "{}", case.title);
        }
    }
}
