//! Groups: who is there, what they tell of themselves, and who comes and goes.

use std::collections::VecDeque;

use futures_util::Stream;
use serde::Serialize;

use crate::coordinator::Target;
use crate::driver::{IfTaken, Kind, Snapshot};
use crate::election::Election;
use crate::member::{Member, MemberValue};
use crate::membership::Membership;
use crate::partitioner::Partitioner;
use crate::roster_watch::RosterWatch;
use crate::{Error, ErrorKind, HashRing, Name, Result};

/// A group. It exists from its creation to its deletion, with or without members.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::Coordinator::builder("memory://group-doc").member("a").connect().await?;
/// use tooz_core::Capabilities;
///
/// let group = coordinator.group("workers");
/// group.create_if_missing().await?;
/// let membership = group.join(Capabilities::from_iter([("weight", 2)])).await?;
/// assert_eq!(group.members().await?[0].id().to_string(), "a");
/// membership.leave().await?;
/// group.delete().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    target: Target,
}

impl Group {
    pub(crate) fn new(target: Target) -> Self {
        Self { target }
    }

    /// Creates the group.
    ///
    /// # Errors
    /// `GroupAlreadyExists`, `Unavailable`, `SessionLost`, `InvalidName`. After `Unavailable` it may exist or not. If a
    /// reply was lost and the group exists after all, it counts as created by us.
    pub async fn create(&self) -> Result<()> {
        let create = async {
            match self.declare().await? {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::GroupAlreadyExists, "the group exists already")),
            }
        };
        self.target.run("create", create).await
    }

    /// Creates the group if it does not exist, and returns whether it did that.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn create_if_missing(&self) -> Result<bool> {
        self.target.run("create_if_missing", self.declare()).await
    }

    /// Deletes the group.
    ///
    /// # Errors
    /// `GroupNotCreated`, `GroupNotEmpty`, `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn delete(&self) -> Result<()> {
        let delete = async {
            let (roster, live) = (self.target.roster()?, self.target.coordinator.live().await?);
            let mut attempts = 0;
            let retract = || {
                attempts += 1;
                live.session.retract(roster)
            };
            match live.retry(Some(self.target.coordinator.timeout()), retract).await {
                // A repeated request that finds nothing follows one whose reply was lost.
                Err(error) if error.kind() == ErrorKind::GroupNotCreated && attempts > 1 => Ok(()),
                outcome => outcome,
            }
        };
        self.target.run("delete", delete).await
    }

    /// Joins, with [`Capabilities`](crate::Capabilities) or any serde type, `()` for none.
    ///
    /// Cancel safe: a dropped future leaves nothing behind.
    ///
    /// # Errors
    /// `GroupNotCreated`; `MemberAlreadyExists` if a live session has joined with our member id, perhaps our own before
    /// a crash, until its TTL has passed: see [`join_taking_over`](Self::join_taking_over); `InvalidOption` if the
    /// capabilities cannot be encoded; `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn join(&self, capabilities: impl Serialize) -> Result<Membership> {
        let value = MemberValue::now(capabilities);
        self.target.run("join", Membership::join(&self.target, value, IfTaken::Refuse)).await
    }

    /// Joins in place of an earlier incarnation with our member id, in one atomic step: for a process that restarts
    /// under a fixed member id and will not wait for the old entry to expire. An incarnation that is still alive is told.
    ///
    /// # Errors
    /// As [`join`](Self::join), without `MemberAlreadyExists`.
    pub async fn join_taking_over(&self, capabilities: impl Serialize) -> Result<Membership> {
        let value = MemberValue::now(capabilities);
        self.target.run("join_taking_over", Membership::join(&self.target, value, IfTaken::TakeOver)).await
    }

    /// All members with their capabilities, in the order in which they joined. One request.
    ///
    /// # Errors
    /// `GroupNotCreated`, `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn members(&self) -> Result<Vec<Member>> {
        let members = async {
            let (roster, live) = (self.target.roster()?, self.target.coordinator.live().await?);
            let patience = Some(self.target.coordinator.timeout());
            members_of(&live.retry(patience, || live.session.snapshot(roster, None)).await?)
        };
        self.target.run("members", members).await
    }

    /// One member.
    ///
    /// # Errors
    /// `MemberNotJoined` if there is none with this id, else as [`members`](Self::members).
    pub async fn member(&self, id: impl AsRef<[u8]>) -> Result<Member> {
        let member = async {
            let id = Name::new(id)?;
            let found = self.members().await?.into_iter().find(|member| *member.id() == id);
            found.ok_or_else(|| {
                Error::new(ErrorKind::MemberNotJoined, "there is no such member in the group")
                    .with_context("member", id)
            })
        };
        self.target.run("member", member).await
    }

    /// Follows the members: first those who are there, then each change. However many wait for one through one
    /// coordinator, it is read once.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn watch(&self) -> Result<GroupWatch> {
        let mut watch =
            GroupWatch { roster: RosterWatch::new(self.target.clone()), members: Vec::new(), events: VecDeque::new() };
        watch.advance().await?;
        Ok(watch)
    }

    /// The election among the members, or anybody else: the one that has the group's name.
    pub fn election(&self) -> Election {
        Election::new(self.target.with_kind(Kind::Election))
    }

    /// Divides work among the members, by a [`HashRing`] that follows the group by itself.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn partitioner(&self) -> Result<Partitioner> {
        self.partitioner_with(HashRing::DEFAULT_PARTITION_COUNT).await
    }

    /// As [`partitioner`](Self::partitioner), with another number of partitions a member: all must use the same.
    ///
    /// # Errors
    /// As [`members`](Self::members), and `InvalidOption` if `partitions` is 0.
    pub async fn partitioner_with(&self, partitions: u32) -> Result<Partitioner> {
        if partitions == 0 {
            let error = Error::new(ErrorKind::InvalidOption, "a partitioner needs at least one partition a member");
            return Err(error.with_operation("partitioner"));
        }
        Ok(Partitioner::start(self.watch().await?, self.target.coordinator.member().clone(), partitions))
    }

    async fn declare(&self) -> Result<bool> {
        let (roster, live) = (self.target.roster()?, self.target.coordinator.live().await?);
        let mut attempts = 0;
        let declare = || {
            attempts += 1;
            live.session.declare(roster)
        };
        let new = live.retry(Some(self.target.coordinator.timeout()), declare).await?;
        Ok(new || attempts > 1)
    }
}

fn members_of(snapshot: &Snapshot) -> Result<Vec<Member>> {
    match snapshot.declared {
        true => snapshot.entries.iter().map(Member::read).collect(),
        false => Err(Error::new(ErrorKind::GroupNotCreated, "the group does not exist; create it first")),
    }
}

/// Something that happened in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// Somebody is there: among the first at the beginning, later because they joined.
    Joined(Member),
    /// Somebody left, crashed or was cut off. Shows the member as last seen.
    Left(Member),
    /// A member changed its capabilities.
    Updated(Member),
    /// The view was interrupted, for instance by a loss of our session: a join and a leave of one member in between may
    /// both be missing. What follows leads from the members seen before to the present ones.
    Resync,
}

/// The members of a group, and every change; see [`Group::watch`].
///
/// Each incarnation joins and leaves exactly once, in order; of a stay too short to be seen both may be absent, never
/// only one. A member that left and came back is a `Left` and a `Joined`, also if nobody saw it away.
#[derive(Debug)]
pub struct GroupWatch {
    roster: RosterWatch,
    members: Vec<Member>,
    events: VecDeque<GroupEvent>,
}

impl GroupWatch {
    /// The next event; waits for it, through outages and losses of the session too. Cancel safe.
    ///
    /// # Errors
    /// `GroupNotCreated` if the group was deleted; `Corrupt`, `AuthFailed`, `SessionLost` once the coordinator was
    /// closed.
    pub async fn next(&mut self) -> Result<GroupEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.advance().await?;
        }
    }

    /// The members as of the events delivered and those that are queued.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The same as a [`Stream`], which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<GroupEvent>> + Send {
        futures_util::stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            let item = watch.next().await;
            let rest = item.is_ok().then_some(watch);
            Some((item, rest))
        })
    }

    /// Waits for a change and queues its events.
    async fn advance(&mut self) -> Result<()> {
        let (snapshot, interrupted) = self.roster.next("watch").await?;
        let members = members_of(&snapshot).map_err(|error| error.with_operation("watch"))?;
        if interrupted {
            self.events.push_back(GroupEvent::Resync);
        }
        self.events.extend(difference(&self.members, &members));
        self.members = members;
        Ok(())
    }

    /// Discards the events up to now and returns the members.
    pub(crate) async fn settle(&mut self) -> Result<&[Member]> {
        if self.events.is_empty() {
            self.advance().await?;
        }
        self.events.clear();
        Ok(&self.members)
    }
}

/// What leads from one set of members to the other: first who left, then who joined, then who changed.
fn difference(before: &[Member], after: &[Member]) -> Vec<GroupEvent> {
    let index = |members: &[Member]| -> std::collections::HashMap<_, _> {
        members.iter().map(|member| (member.incarnation(), member.clone())).collect()
    };
    let (old, new) = (index(before), index(after));
    let left = before.iter().filter(|member| !new.contains_key(&member.incarnation()));
    let joined = after.iter().filter(|member| !old.contains_key(&member.incarnation()));
    let updated = after.iter().filter(|member| old.get(&member.incarnation()).is_some_and(|old| old != *member));
    left.cloned()
        .map(GroupEvent::Left)
        .chain(joined.cloned().map(GroupEvent::Joined))
        .chain(updated.cloned().map(GroupEvent::Updated))
        .collect()
}
