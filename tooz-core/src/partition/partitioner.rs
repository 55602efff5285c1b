//! Dividing work among the members of a group by a consistent hash ring.
//!
//! - A task watches the group and changes the ring as the group changes. The ring keeps its nodes in the order of their
//!   names, so it does not depend on the order of the changes, which differs between members.
//! - While the group cannot be read, no key belongs to any member. The task continues, and fills the ring again as soon as
//!   the group is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::warn;

use super::hash_ring::HashRing;
use crate::coordinator::Coordinator;
use crate::group::{Group, GroupEvent, GroupWatch, Member, Value};
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
pub(super) struct Division {
    /// Used only while the group can be read.
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
    fn start(mut watch: GroupWatch, coordinator: Coordinator, partitions: u32) -> Self {
        let sender = watch::Sender::new(Division::empty(partitions));
        Division::follow(&sender, watch.take_events());
        // Subscribed now, so that the first division does not count as a change.
        let division = sender.subscribe();
        let task = tokio::spawn(follow(watch, sender)).abort_handle();
        Self { division, coordinator, task }
    }

    /// Waits until the division has changed since the last call, or since the partitioner was made. Cancel safe.
    ///
    /// # Errors
    /// As [`status`](Self::status): the group cannot be followed since that change. `Unexpected` or `Closed` is final.
    pub async fn changed(&mut self) -> Result<()> {
        // An error here means that no further change will come, and the status says why.
        let _ = self.division.changed().await;
        self.status()
    }

    pub(super) fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Division> {
        self.division.clone()
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
        let division = self.division.borrow();
        if division.error.is_some() { Arc::default() } else { division.ring.clone() }
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
    /// The member responsible for a key, while the group can be read.
    pub(super) fn owner_of(&self, key: &[u8]) -> Option<&[u8]> {
        self.ring.node_for(key).filter(|_| self.error.is_none())
    }

    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    fn empty(partitions: u32) -> Self {
        Self { ring: Arc::new(HashRing::weighted::<_, Vec<u8>>([], partitions)), excluded: Vec::new(), error: None }
    }

    /// Applies events of the group. The ring is changed in place unless a caller has a reference to it.
    fn follow(division: &watch::Sender<Self>, events: Vec<Result<GroupEvent>>) {
        division.send_modify(|division| {
            let mut weights = BTreeMap::new();
            let error_before = division.error.take();
            for event in events {
                match event {
                    Ok(GroupEvent::Joined(member) | GroupEvent::Updated(member)) => {
                        let weight = division.weight_of(&member);
                        weights.insert(member.id().as_bytes().to_vec(), weight);
                    }
                    Ok(GroupEvent::Left(member)) => {
                        division.excluded.retain(|(excluded, _)| excluded != member.id());
                        weights.insert(member.id().as_bytes().to_vec(), None);
                    }
                    Ok(GroupEvent::Resync) => {}
                    Err(error) => division.error = Some(error),
                }
            }
            division.log_new_error(error_before);
            weights.retain(|name, weight| division.ring.weight(name) != *weight);
            if !weights.is_empty() {
                Arc::make_mut(&mut division.ring).change(weights);
            }
        });
    }

    /// The weight of a member, or `None` if it is unreadable.
    fn weight_of(&mut self, member: &Member) -> Option<u32> {
        let known = self.excluded.extract_if(.., |(excluded, _)| excluded == member.id()).next();
        let error = match member.weight() {
            Ok(weight) => return Some(weight),
            Err(error) => error,
        };
        if known.is_none() {
            warn!(member = %member.id(), %error, "a member owns no key because its weight is unreadable");
        }
        self.excluded.push((member.id().clone(), error));
        None
    }

    fn log_new_error(&self, before: Option<Error>) {
        let known = before.map(|error| error.kind());
        if let Some(error) = self.error.as_ref().filter(|error| Some(error.kind()) != known && !error.is_closed()) {
            warn!(%error, "the partitioner does not follow the group at the moment");
        }
    }
}

/// Changes the division with the group, until the coordinator is closed.
async fn follow(mut watch: GroupWatch, division: watch::Sender<Division>) {
    let new_backoff = || Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let mut backoff = new_backoff();
    loop {
        let events = watch.next_events().await.unwrap_or_else(|error| vec![Err(error)]);
        let is_final = events.last().is_some_and(|event| event.as_ref().is_err_and(Error::is_closed));
        Division::follow(&division, events);
        if is_final {
            return;
        }
        if division.borrow().error.is_none() {
            backoff = new_backoff();
        } else {
            backoff.pause().await;
        }
    }
}
