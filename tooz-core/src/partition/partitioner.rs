//! Dividing work among the members of a group by a consistent hash ring.
//!
//! - A task watches the group and builds a new ring after each change, from nothing: the order in which nodes are added
//!   can matter, and it differs between members.
//! - While the group cannot be read, no key belongs to any member. The task reads on, and builds a ring again as soon as
//!   the group is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::warn;

use super::hash_ring::HashRing;
use crate::coordinator::Coordinator;
use crate::group::{Group, GroupWatch, Member, Value};
use crate::session::SessionState;
use crate::session::retry::Backoff;
use crate::{Error, ErrorKind, Name, Result};

/// The greatest weight that counts. It keeps one member from making all others build a ring that exhausts their memory.
const GREATEST_WEIGHT: u32 = 1_000;
/// The greatest number of partitions; with the greatest weight, a member stays below [`HashRing::MAX_POSITIONS`].
const GREATEST_PARTITIONS: u32 = 1_000;

impl Group {
    /// Divides work among the members with a [`HashRing`] of [`HashRing::DEFAULT_PARTITION_COUNT`] partitions a member.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn partitioner(&self) -> Result<Partitioner> {
        self.partitioner_with(HashRing::DEFAULT_PARTITION_COUNT).await
    }

    /// Divides work among the members with `partitions` partitions a member, from 1 to 1,000. All members must use the
    /// same number.
    ///
    /// # Errors
    /// `InvalidOption` if the number of partitions is out of range; else as [`members`](Self::members).
    pub async fn partitioner_with(&self, partitions: u32) -> Result<Partitioner> {
        if !(1..=GREATEST_PARTITIONS).contains(&partitions) {
            let message = format!("a partitioner has 1 to {GREATEST_PARTITIONS} partitions a member, not {partitions}");
            return Err(Error::new(ErrorKind::InvalidOption, message).with_operation("partitioner"));
        }
        Ok(Partitioner::start(self.watch().await?, self.coordinator().clone(), partitions))
    }
}

impl Member {
    /// The weight of the member in a [`Partitioner`]: its capability `weight`, at most 1,000; 1 if it has none.
    ///
    /// # Errors
    /// `Corrupt` if the capabilities are unreadable, or if `weight` is not an integer.
    pub fn weight(&self) -> Result<u32> {
        let capabilities: Value = self.capabilities_as()?;
        match capabilities.get("weight") {
            None => Ok(1),
            Some(Value::Int(weight)) => Ok(u32::try_from((*weight).max(0)).unwrap_or(u32::MAX).min(GREATEST_WEIGHT)),
            Some(Value::Uint(_)) => Ok(GREATEST_WEIGHT),
            Some(_) => {
                let message = "the capability \"weight\" must be an integer from 0 to 1000";
                Err(Error::new(ErrorKind::Corrupt, message).with_context("member", self.id()))
            }
        }
    }
}

/// Tells which member of a group is responsible for a key. It follows the group by itself.
///
/// The weight of a member is its capability `weight`, an integer from 0 to 1,000; the default is 1. A member whose weight
/// is unreadable owns no key and is listed by [`excluded`](Self::excluded). Members that have seen the same change agree
/// on every key. While a change spreads they may disagree, so protect work that must not run twice with a lock.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://partitioner-doc").await?;
/// let group = coordinator.group("workers");
/// group.create_if_missing().await?;
/// let _membership = group.join(()).await?;
/// let partitioner = group.partitioner().await?;
/// assert!(partitioner.belongs_to_me("object-1"));
/// partitioner.status()?; // fails while the partitioner cannot follow the group
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a partitioner stops following the group when it is dropped"]
pub struct Partitioner {
    division: watch::Receiver<Division>,
    coordinator: Coordinator,
    task: AbortHandle,
}

/// How the work is divided at present.
#[derive(Debug)]
struct Division {
    ring: Arc<HashRing>,
    /// The members whose weight is unreadable.
    excluded: Vec<(Name, Error)>,
    /// Why the group cannot be read.
    error: Option<Error>,
}

impl Drop for Partitioner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Partitioner {
    fn start(watch: GroupWatch, coordinator: Coordinator, partitions: u32) -> Self {
        let first = Division::among(watch.members(), partitions);
        first.log_news(None);
        let (sender, division) = watch::channel(first);
        let task = tokio::spawn(follow(watch, sender, partitions)).abort_handle();
        Self { division, coordinator, task }
    }

    /// Whether this client is the member responsible for `key`.
    pub fn belongs_to_me(&self, key: impl AsRef<[u8]>) -> bool {
        self.belongs_to_member(key, self.coordinator.member())
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
        self.division.borrow().ring.clone()
    }

    /// Whether the partitioner follows the group at this moment. Sends nothing.
    ///
    /// # Errors
    /// Why it does not follow. It continues by itself as soon as it can, except after the last two.
    /// - `GroupNotCreated`, `AuthFailed` and others: the group cannot be read, and no key belongs to any member.
    /// - `Unavailable`: the backend does not answer. The division is the one that was read last.
    /// - `Closed`: the coordinator is closed.
    /// - `Unexpected`: the runtime in which the partitioner was made has ended.
    pub fn status(&self) -> Result<()> {
        if let Some(error) = &self.division.borrow().error {
            return Err(error.clone());
        }
        if self.division.has_changed().is_err() {
            let message = "the partitioner has stopped; keep the runtime in which it was made";
            return Err(Error::new(ErrorKind::Unexpected, message));
        }
        match self.coordinator.state() {
            SessionState::Connected => Ok(()),
            SessionState::Closed => Err(Error::new(ErrorKind::Closed, "the coordinator is closed")),
            _ => Err(Error::new(ErrorKind::Unavailable, "the backend does not answer at the moment")),
        }
    }

    /// The members that own no key because their weight is unreadable, with the cause.
    pub fn excluded(&self) -> Vec<(Name, Error)> {
        self.division.borrow().excluded.clone()
    }
}

impl Division {
    fn among(members: &[Member], partitions: u32) -> Self {
        let (mut weights, mut excluded) = (Vec::new(), Vec::new());
        for member in members {
            match member.weight() {
                Ok(weight) => weights.push((member.id().as_bytes(), weight)),
                Err(error) => excluded.push((member.id().clone(), error)),
            }
        }
        Self { ring: Arc::new(HashRing::weighted(weights, partitions)), excluded, error: None }
    }

    fn unknown(error: Error) -> Self {
        Self { ring: Arc::default(), excluded: Vec::new(), error: Some(error) }
    }

    /// Logs what is wrong now and was not `before`.
    fn log_news(&self, before: Option<&Self>) {
        let known = |name: &Name| before.is_some_and(|before| before.excluded.iter().any(|(known, _)| known == name));
        for (member, error) in self.excluded.iter().filter(|(name, _)| !known(name)) {
            warn!(%member, %error, "a member owns no key because its weight is unreadable");
        }
        let known = before.and_then(|before| before.error.as_ref()).map(Error::kind);
        if let Some(error) = self.error.as_ref().filter(|error| Some(error.kind()) != known && !error.is_closed()) {
            warn!(%error, "the partitioner does not follow the group at the moment");
        }
    }
}

/// Publishes a new division after each change, until the coordinator is closed.
async fn follow(mut watch: GroupWatch, division: watch::Sender<Division>, partitions: u32) {
    let new_backoff = || Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let mut backoff = new_backoff();
    loop {
        let outcome = watch.next_members().await.map(|members| Division::among(members, partitions));
        let is_final = outcome.as_ref().is_err_and(Error::is_closed);
        let next = outcome.unwrap_or_else(Division::unknown);
        next.log_news(Some(&division.borrow()));
        let is_read = next.error.is_none();
        division.send_replace(next);
        if is_final {
            return;
        }
        if is_read {
            backoff = new_backoff();
        } else {
            backoff.pause().await;
        }
    }
}
