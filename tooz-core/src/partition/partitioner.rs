//! A hash ring that follows the members of a group.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::hash_ring::HashRing;
use crate::group::{Group, GroupWatch, Member, Value};
use crate::{Error, ErrorKind, Name, Result};

/// The greatest weight that counts. It keeps one member from making all others build a ring that exhausts their memory.
const GREATEST_WEIGHT: i64 = 1_000;

impl Group {
    /// Divides work among the members with a [`HashRing`] of [`HashRing::DEFAULT_PARTITION_COUNT`] partitions a member.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn partitioner(&self) -> Result<Partitioner> {
        self.partitioner_with(HashRing::DEFAULT_PARTITION_COUNT).await
    }

    /// Divides work among the members with `partitions` partitions a member. All members must use the same number.
    ///
    /// # Errors
    /// `InvalidOption` if `partitions` is 0; else as [`members`](Self::members).
    pub async fn partitioner_with(&self, partitions: u32) -> Result<Partitioner> {
        if partitions == 0 {
            let error = Error::new(ErrorKind::InvalidOption, "a partitioner needs at least one partition a member");
            return Err(error.with_operation("partitioner"));
        }
        Ok(Partitioner::start(self.watch().await?, self.coordinator().member().clone(), partitions))
    }
}

/// Tells which member of a group is responsible for a key. It follows the group by itself.
///
/// The weight of a member is its capability `weight`, an integer from 0 to 1,000; the default is 1. Members that have
/// seen the same change agree on every key. While a change spreads they may disagree, so protect work that must not run
/// twice with a lock.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://partitioner-doc").await?;
/// let group = coordinator.group("workers");
/// group.create_if_missing().await?;
/// let _membership = group.join(()).await?;
/// assert!(group.partitioner().await?.belongs_to_me("object-1"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a partitioner stops following the group when it is dropped"]
pub struct Partitioner {
    ring: SharedRing,
    me: Name,
    task: AbortHandle,
}

/// The present ring. Readers take a clone and are never blocked while a new ring is built.
type SharedRing = Arc<RwLock<Arc<HashRing>>>;

impl Drop for Partitioner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Partitioner {
    fn start(watch: GroupWatch, me: Name, partitions: u32) -> Self {
        let ring = Arc::new(RwLock::new(Arc::new(ring_of(watch.members(), partitions))));
        let task = tokio::spawn(follow(watch, ring.clone(), partitions)).abort_handle();
        Self { ring, me, task }
    }

    /// Whether this client is the member responsible for `key`.
    pub fn belongs_to_me(&self, key: impl AsRef<[u8]>) -> bool {
        self.belongs_to_member(key, &self.me)
    }

    /// Whether `member` is the member responsible for `key`.
    pub fn belongs_to_member(&self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> bool {
        self.ring().node_for(key) == Some(member.as_ref())
    }

    /// The members responsible for `replicas` copies of `key`, the first one first. A smaller group returns fewer.
    pub fn members_for(&self, key: impl AsRef<[u8]>, replicas: usize) -> Vec<Name> {
        let ring = self.ring();
        let nodes = ring.nodes_for(key, replicas, &[]);
        nodes.into_iter().filter_map(|node| Name::new(node).ok()).collect()
    }

    /// The present ring, for decisions about several keys that must be consistent.
    pub fn ring(&self) -> Arc<HashRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Builds a new ring after each change. When the group can no longer be followed, no key belongs to any member.
async fn follow(mut watch: GroupWatch, ring: SharedRing, partitions: u32) {
    loop {
        let members = match watch.next_members().await {
            Ok(members) => members,
            Err(error) => {
                debug!(%error, "the partitioner no longer follows the group");
                replace(&ring, ring_of(&[], partitions));
                return;
            }
        };
        replace(&ring, ring_of(members, partitions));
    }
}

fn replace(shared: &SharedRing, ring: HashRing) {
    *shared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
}

/// Each ring is built from nothing: the order in which nodes are added can matter, and it differs between members.
fn ring_of(members: &[Member], partitions: u32) -> HashRing {
    HashRing::weighted(members.iter().map(|member| (member.id().as_bytes(), weight_of(member))), partitions)
}

fn weight_of(member: &Member) -> u32 {
    let weight = match member.capabilities().ok().as_ref().and_then(|capabilities| capabilities.get("weight")) {
        Some(Value::Int(weight)) => *weight,
        _ => return 1,
    };
    let counted = weight.clamp(0, GREATEST_WEIGHT);
    if counted != weight {
        warn!(member = %member.id(), weight, counted, "the weight of a member is out of range");
    }
    counted as u32
}
