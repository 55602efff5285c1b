//! Dividing work among the members of a group.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::AbortHandle;
use tracing::{debug, warn};

use crate::capabilities::Value;
use crate::group::GroupWatch;
use crate::member::Member;
use crate::{HashRing, Name};

/// The greatest weight that counts: a member cannot make every other one build a ring that fills its memory.
const GREATEST_WEIGHT: i64 = 1_000;

/// Says which member is responsible for a key, by a [`HashRing`] over the members; it follows the group by itself.
///
/// A member's weight is its capability `weight`, a whole number from 0 to 1,000, by default 1. Members that see the same
/// group agree; while a change spreads they may differ for a moment, so guard what must not run twice with a lock.
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
pub struct Partitioner {
    ring: Arc<RwLock<Arc<HashRing>>>,
    me: Name,
    following: AbortHandle,
}

impl Drop for Partitioner {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Partitioner {
    pub(crate) fn start(watch: GroupWatch, me: Name, partitions: u32) -> Self {
        let ring = Arc::new(RwLock::new(Arc::new(ring_of(watch.members(), partitions))));
        let following = tokio::spawn(follow(watch, ring.clone(), partitions)).abort_handle();
        Self { ring, me, following }
    }

    /// Whether we are responsible for `key`.
    pub fn belongs_to_me(&self, key: impl AsRef<[u8]>) -> bool {
        self.belongs_to_member(key, &self.me)
    }

    /// Whether `member` is responsible for `key`.
    pub fn belongs_to_member(&self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> bool {
        self.ring().node_for(key) == Some(member.as_ref())
    }

    /// The members responsible for `key`, the first one before its `replicas` − 1 substitutes; fewer if the group is
    /// smaller, none if it is empty.
    pub fn members_for(&self, key: impl AsRef<[u8]>, replicas: usize) -> Vec<Name> {
        let ring = self.ring();
        let nodes = ring.nodes_for(key, replicas, &[]);
        nodes.into_iter().filter_map(|node| Name::new(node).ok()).collect()
    }

    /// The ring at this moment, for decisions that must be consistent with each other.
    pub fn ring(&self) -> Arc<HashRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn follow(mut watch: GroupWatch, ring: Arc<RwLock<Arc<HashRing>>>, partitions: u32) {
    loop {
        let members = match watch.settle().await {
            Ok(members) => members,
            Err(error) => {
                debug!(%error, "the partitioner stops");
                *ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring_of(&[], partitions));
                return;
            }
        };
        let next = Arc::new(ring_of(members, partitions));
        *ring.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// Built anew each time, since the order in which nodes are added can matter and differs between members.
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
        warn!(member = %member.id(), weight, counted, "a weight is out of range");
    }
    counted as u32
}
