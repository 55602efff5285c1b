//! A consistent hash ring, which assigns keys to nodes (D. Karger et al., "Consistent hashing and random trees", 1997).
//!
//! - A node claims positions on a circle of 128-bit numbers: the MD5 digests of its name repeated two, three, … times.
//! - A key belongs to the node at the first position after the key's own MD5 digest.
//!
//! `tooz.hashring.HashRing` in Python's tooz places keys in the same way, so members written in either language agree.

use std::collections::BTreeMap;
use std::fmt;

use md5::{Digest, Md5};

/// Assigns keys to nodes so that a change of the nodes moves as few keys as possible.
///
/// Every node claims `partitions * weight` positions on a circle. A key belongs to the node at the first position after
/// the digest of the key; its replicas belong to the next different nodes. Removing a node therefore moves only the keys
/// of that node, and adding a node moves keys only to it. A lookup is a binary search.
///
/// The placement equals that of Python's tooz with its default hash function, MD5. Node names and keys are bytes;
/// Python's tooz encodes a `str` node name as UTF-8, as Rust does.
///
/// ```
/// use tooz_core::HashRing;
///
/// let mut ring = HashRing::new(["host-a", "host-b"], HashRing::DEFAULT_PARTITION_COUNT);
/// ring.add_node("host-c", 2); // has twice the share of host-a
///
/// assert_eq!(ring.node_for("object-1"), Some(&b"host-c"[..]));
/// assert_eq!(ring.nodes_for("object-1", 2, &[]), [b"host-c", b"host-b"]);
/// ```
///
/// # Names that repeat each other
///
/// Two names that consist of the same repeated text, such as `1` and `11`, both claim some positions. As in Python, such
/// a position belongs to the node that was added last. [`new`](Self::new) and [`weighted`](Self::weighted) add nodes in
/// ascending order of their names, so that rings built from the same nodes are equal. Use them where several processes
/// must agree.
///
/// # Differences from Python's tooz
///
/// - The constructors add nodes in the order of their names. Python adds them in a random order, which decides which node
///   owns a position that two nodes claim.
/// - Removing a node gives a position that two nodes claim to the other node. Python deletes the position, and removing
///   the other node then raises `KeyError`.
/// - Adding a node again with a smaller weight reduces its share. Python keeps the larger share, and keeps part of it
///   even after the node is removed.
/// - A node of weight 0 is on the ring and owns no key. Python may search for it forever.
/// - A node claims at most [`MAX_POSITIONS`](Self::MAX_POSITIONS) positions.
#[derive(Clone)]
pub struct HashRing {
    partitions: u32,
    /// In the order in which they were added.
    nodes: Vec<Node>,
    /// Sorted. Of several claims to one position the last one counts, which is that of the node added last. The others
    /// count once that node is removed.
    claims: Vec<Claim>,
}

#[derive(Clone, PartialEq, Eq)]
struct Node {
    name: Vec<u8>,
    weight: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    position: u128,
    /// Index into [`HashRing::nodes`].
    node: usize,
}

impl HashRing {
    /// The default number of positions that a node of weight 1 claims; the same as in Python's tooz.
    pub const DEFAULT_PARTITION_COUNT: u32 = 32;

    /// The greatest number of positions that a node claims, about a million. It bounds the memory that a ring needs.
    pub const MAX_POSITIONS: u32 = 1 << 20;

    /// Builds a ring of nodes of weight 1, each of which claims `partitions` positions.
    ///
    /// More partitions spread keys more evenly and need more memory: 32 bytes each. All processes that share the work
    /// must use the same number. The order of `nodes` does not matter, and a node that is listed twice counts once.
    pub fn new<I>(nodes: I, partitions: u32) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Vec<u8>>,
    {
        Self::weighted(nodes.into_iter().map(|name| (name, 1)), partitions)
    }

    /// Builds a ring of nodes with weights. A node of weight n claims n times `partitions` positions.
    ///
    /// The order of `nodes` does not matter. If a node is listed twice, the last weight counts.
    ///
    /// ```
    /// # use tooz_core::HashRing;
    /// let ring = HashRing::weighted([("small", 1), ("large", 4)], HashRing::DEFAULT_PARTITION_COUNT);
    /// assert_eq!(ring.position_count(), (1 + 4) * 32);
    /// ```
    pub fn weighted<I, N>(nodes: I, partitions: u32) -> Self
    where
        I: IntoIterator<Item = (N, u32)>,
        N: Into<Vec<u8>>,
    {
        let mut ring = Self { partitions, nodes: Vec::new(), claims: Vec::new() };
        ring.change(nodes.into_iter().map(|(name, weight)| (name.into(), Some(weight))).collect());
        ring
    }

    /// Gives nodes another weight, adds those that are new and removes those with `None`.
    ///
    /// The nodes must be in ascending order of their names, and stay so: the ring equals a new ring of these nodes. A change
    /// of one node costs one pass over the positions, which is much cheaper than computing and sorting them.
    pub(super) fn change(&mut self, changes: BTreeMap<Vec<u8>, Option<u32>>) {
        let (old_count, old) = (self.nodes.len(), std::mem::take(&mut self.nodes).into_iter().enumerate());
        let kept = old.filter(|(_, node)| !changes.contains_key(&node.name));
        let mut nodes: Vec<_> = kept.map(|(old_index, node)| (Some(old_index), node)).collect();
        let added = changes.into_iter().filter_map(|(name, weight)| Some((None, Node { name, weight: weight? })));
        nodes.extend(added);
        nodes.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let mut new_indices = vec![None; old_count];
        for (index, (old_index, node)) in nodes.iter().enumerate() {
            match old_index {
                Some(old_index) => new_indices[*old_index] = Some(index),
                None => self.claims.extend(claims(old_count + index, node, self.partitions)),
            }
        }
        // New indices rise as the old ones do, so the claims that stay remain sorted, and the sort only merges.
        self.claims.retain_mut(|claim| {
            let index = claim.node.checked_sub(old_count).or_else(|| new_indices[claim.node]);
            index.inspect(|index| claim.node = *index).is_some()
        });
        self.claims.sort();
        self.nodes = nodes.into_iter().map(|(_, node)| node).collect();
    }

    /// Adds a node, or changes its weight if it is on the ring, and returns its previous weight.
    ///
    /// Keys move only to this node, or away from it where its weight shrinks. A node of weight 0 owns no key.
    ///
    /// ```
    /// # use tooz_core::HashRing;
    /// let mut ring = HashRing::default();
    /// assert_eq!(ring.add_node("a", 1), None);
    /// assert_eq!(ring.add_node("a", 2), Some(1));
    /// assert_eq!(ring.remove_node("a"), Some(2));
    /// assert_eq!(ring.remove_node("a"), None);
    /// ```
    pub fn add_node(&mut self, node: impl Into<Vec<u8>>, weight: u32) -> Option<u32> {
        let name = node.into();
        let previous = self.remove_node(&name);
        self.push(name, weight);
        // The stable sort finds the two sorted runs and merges them.
        self.claims.sort();
        previous
    }

    /// Removes a node and returns its weight, or `None` if it is not on the ring.
    ///
    /// The keys of this node move to the other nodes; no other key moves.
    pub fn remove_node(&mut self, node: impl AsRef<[u8]>) -> Option<u32> {
        let removed = self.index_of(node.as_ref())?;
        self.claims.retain_mut(|claim| {
            let stays = claim.node != removed;
            claim.node -= usize::from(claim.node > removed);
            stays
        });
        Some(self.nodes.remove(removed).weight)
    }

    /// Whether the node is on the ring.
    pub fn contains(&self, node: impl AsRef<[u8]>) -> bool {
        self.index_of(node.as_ref()).is_some()
    }

    /// The node's weight, or `None` if it is not on the ring.
    pub fn weight(&self, node: impl AsRef<[u8]>) -> Option<u32> {
        self.index_of(node.as_ref()).map(|index| self.nodes[index].weight)
    }

    /// The names of all nodes.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.nodes.iter().map(|node| node.name.as_slice())
    }

    /// The number of positions that nodes claim; `len(ring)` in Python's tooz.
    pub fn position_count(&self) -> usize {
        self.claims.chunk_by(|a, b| a.position == b.position).count()
    }

    /// The node that is responsible for a key, or `None` if no node has a position.
    ///
    /// ```
    /// # use tooz_core::HashRing;
    /// let ring = HashRing::new(["only"], HashRing::DEFAULT_PARTITION_COUNT);
    /// assert_eq!(ring.node_for("any key"), Some(&b"only"[..]));
    /// assert_eq!(HashRing::default().node_for("any key"), None);
    /// ```
    pub fn node_for(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.owners_from(key.as_ref()).next().map(|owner| self.nodes[owner].name.as_slice())
    }

    /// The nodes that are responsible for `replicas` copies of a key, the primary node first.
    ///
    /// The next nodes on the ring replace those in `ignored`. A smaller ring returns fewer nodes. Python's `get_nodes`
    /// returns the same nodes as a set; here they have the order of the ring, so a larger number of replicas only appends
    /// nodes.
    ///
    /// ```
    /// # use tooz_core::HashRing;
    /// let ring = HashRing::new(["a", "b", "c"], HashRing::DEFAULT_PARTITION_COUNT);
    /// assert_eq!(ring.nodes_for("key", 3, &[]), [b"a", b"c", b"b"]);
    /// assert_eq!(ring.nodes_for("key", 2, &[b"c"]), [b"a", b"b"]);
    /// ```
    pub fn nodes_for(&self, key: impl AsRef<[u8]>, replicas: usize, ignored: &[&[u8]]) -> Vec<&[u8]> {
        let mut passed_over: Vec<bool> = self.nodes().map(|name| ignored.contains(&name)).collect();
        // The walk along the circle ends once all candidates are found.
        let candidates = passed_over.iter().filter(|ignored| !**ignored).count();
        self.owners_from(key.as_ref())
            .filter(|&owner| !std::mem::replace(&mut passed_over[owner], true))
            .take(replicas.min(candidates))
            .map(|owner| self.nodes[owner].name.as_slice())
            .collect()
    }

    /// Whether both rings have the same nodes in the same order and the same claims.
    #[cfg(test)]
    pub(super) fn is_equal(&self, other: &Self) -> bool {
        (self.partitions, &self.nodes, &self.claims) == (other.partitions, &other.nodes, &other.claims)
    }

    fn index_of(&self, name: &[u8]) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// Appends a node and its claims; the caller sorts.
    fn push(&mut self, name: Vec<u8>, weight: u32) {
        let node = Node { name, weight };
        self.claims.extend(claims(self.nodes.len(), &node, self.partitions));
        self.nodes.push(node);
    }

    /// The owners of all positions, from the first one after the digest of the key.
    fn owners_from(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let digest = u128::from_be_bytes(Md5::digest(key).into());
        let (before, after) = self.claims.split_at(self.claims.partition_point(|claim| claim.position <= digest));
        let positions = after.chunk_by(|a, b| a.position == b.position);
        positions.chain(before.chunk_by(|a, b| a.position == b.position)).filter_map(|claims| Some(claims.last()?.node))
    }
}

/// An empty ring with [`DEFAULT_PARTITION_COUNT`](HashRing::DEFAULT_PARTITION_COUNT).
impl Default for HashRing {
    fn default() -> Self {
        Self { partitions: Self::DEFAULT_PARTITION_COUNT, nodes: Vec::new(), claims: Vec::new() }
    }
}

/// Shows the nodes and their weights, not the thousands of positions.
impl fmt::Debug for HashRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.nodes.iter().map(|node| (node.name.escape_ascii().to_string(), node.weight)).collect();
        f.debug_struct("HashRing").field("partitions", &self.partitions).field("nodes", &nodes).finish_non_exhaustive()
    }
}

/// The claims of the node with this index.
fn claims(index: usize, node: &Node, partitions: u32) -> impl Iterator<Item = Claim> {
    let count = position_count(partitions, node.weight);
    positions(&node.name, count).map(move |position| Claim { position, node: index })
}

/// How many positions a node of this weight claims.
pub(super) fn position_count(partitions: u32, weight: u32) -> u32 {
    partitions.saturating_mul(weight).min(HashRing::MAX_POSITIONS)
}

/// The MD5 digests of `name` twice, three times, … `count` of them.
fn positions(name: &[u8], count: u32) -> impl Iterator<Item = u128> {
    let mut digest = Md5::new_with_prefix(name);
    (0..count).map(move |_| {
        digest.update(name);
        u128::from_be_bytes(digest.clone().finalize().into())
    })
}
