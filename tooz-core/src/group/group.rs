//! Groups: creating, deleting, joining and listing.

use serde::Serialize;

use super::member::{Member, MemberValue};
use super::membership::Membership;
use super::watch::GroupWatch;
use crate::coordinator::{Coordinator, RosterTarget, run_operation};
use crate::driver::{IfTaken, Kind, support};
use crate::election::Election;
use crate::{Error, ErrorKind, Name, Result};

impl Coordinator {
    /// The group with this name: 1 to 512 bytes. Sends nothing; the first operation reports an invalid name.
    #[must_use]
    pub fn group(&self, name: impl AsRef<[u8]>) -> Group {
        Group { target: RosterTarget::new(self, Kind::Group, name) }
    }

    /// Lists the names of all groups that were created, in byte order.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`.
    pub async fn groups(&self) -> Result<Vec<Name>> {
        let list = async { self.live().await?.call(|session| session.declared(Kind::Group)).await };
        run_operation(self, "groups", None, list).await
    }
}

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
    target: RosterTarget,
}

impl Group {
    /// The name of the group.
    ///
    /// # Errors
    /// `InvalidName` if it is not a valid one.
    pub fn name(&self) -> Result<&Name> {
        self.target.roster().map(|roster| &roster.name)
    }

    /// Creates the group.
    ///
    /// # Errors
    /// - `GroupAlreadyExists`: the group existed before. If the reply to an earlier attempt of this call was lost, the
    ///   call cannot tell and succeeds.
    /// - `Unavailable`: the backend did not answer; the group may exist or not.
    /// - `SessionLost`, `Closed`, `InvalidName`.
    pub async fn create(&self) -> Result<()> {
        let create = async {
            match self.declare().await? {
                true => Ok(()),
                false => Err(already_exists()),
            }
        };
        self.target.run("create", create).await
    }

    /// Creates the group unless it exists, and returns whether it created it. Idempotent.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`.
    pub async fn create_if_missing(&self) -> Result<bool> {
        self.target.run("create_if_missing", self.declare()).await
    }

    /// Deletes the group, which must have no members.
    ///
    /// # Errors
    /// `GroupNotCreated`, `GroupNotEmpty`, `Unavailable`, `SessionLost`, `Closed`, `InvalidName`.
    pub async fn delete(&self) -> Result<()> {
        let delete = async {
            let (roster, live) = self.target.open().await?;
            let outcome = live.call_tracked(|session| session.retract(roster)).await;
            match outcome.result {
                // A repeated request that finds no group follows one whose reply was lost.
                Err(error) if error.kind() == ErrorKind::GroupNotCreated && outcome.repeated => Ok(()),
                result => result,
            }
        };
        self.target.run("delete", delete).await
    }

    /// Joins the group with [`Capabilities`](crate::Capabilities) or any other serde type; `()` for none.
    ///
    /// Cancel safe: if you drop the future, it leaves nothing behind.
    ///
    /// # Errors
    /// - `GroupNotCreated`: the group does not exist.
    /// - `MemberAlreadyExists`: a live session has joined with this member id. After a crash that can be the session of
    ///   your own earlier process, until its TTL has passed; see [`join_taking_over`](Self::join_taking_over).
    /// - `InvalidOption`: the capabilities cannot be encoded, are nested more than 64 levels deep, or are larger than
    ///   [`Builder::max_value_size`](crate::Builder::max_value_size).
    /// - `Unavailable`, `SessionLost`, `Closed`, `InvalidName`.
    pub async fn join(&self, capabilities: impl Serialize) -> Result<Membership> {
        let value = MemberValue::now(capabilities, self.coordinator().supervisor().options());
        self.target.run("join", Membership::join(&self.target, value, IfTaken::Refuse)).await
    }

    /// Joins the group and removes an earlier incarnation with the same member id in one atomic step.
    ///
    /// Use it in a process that restarts under a fixed member id and does not wait for the old entry to expire. An
    /// earlier incarnation that is still alive is notified. Cancel safe.
    ///
    /// # Errors
    /// As [`join`](Self::join), without `MemberAlreadyExists`.
    pub async fn join_taking_over(&self, capabilities: impl Serialize) -> Result<Membership> {
        let value = MemberValue::now(capabilities, self.coordinator().supervisor().options());
        self.target.run("join_taking_over", Membership::join(&self.target, value, IfTaken::TakeOver)).await
    }

    /// Reads all members with their capabilities, in the order in which they joined. One request.
    ///
    /// A member whose entry is unreadable is listed too; its [`Member::capabilities`] are an error.
    ///
    /// # Errors
    /// `GroupNotCreated`, `Unavailable`, `SessionLost`, `Closed`, `InvalidName`.
    pub async fn members(&self) -> Result<Vec<Member>> {
        self.target.run("members", self.read_members()).await
    }

    /// Reads one member. One request.
    ///
    /// # Errors
    /// `MemberNotJoined` if the group has no member with this id; else as [`members`](Self::members).
    pub async fn member(&self, id: impl AsRef<[u8]>) -> Result<Member> {
        let id = member_id(id);
        self.target.run("member", async { self.find_member(&id?).await }).await
    }

    /// Removes the member with this id from the group, even if it belongs to another client. Returns the removed member.
    ///
    /// For operators: it also removes a member whose entry is unreadable. The client of the member is notified and does
    /// not join again by itself. A new incarnation that joins at the same time stays.
    ///
    /// # Errors
    /// `MemberNotJoined` if the group has no member with this id; else as [`members`](Self::members).
    pub async fn evict(&self, id: impl AsRef<[u8]>) -> Result<Member> {
        let id = member_id(id);
        let evict = async {
            let member = self.find_member(&id?).await?;
            let (roster, live) = self.target.open().await?;
            match live.call_tracked(|session| session.evict(roster, member.seq())).await.took_effect()? {
                true => Ok(member),
                false => Err(no_such_member(member.id())),
            }
        };
        self.target.run("evict", evict).await
    }

    /// Follows the members: the present ones first, then each change.
    ///
    /// However many watches of one coordinator follow a group, each change is received once.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub async fn watch(&self) -> Result<GroupWatch> {
        GroupWatch::start(self.target.clone()).await
    }

    /// The election with the group's name. Clients that are not members may take part.
    #[must_use]
    pub fn election(&self) -> Election {
        Election::new(self.target.with_kind(Kind::Election))
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        self.target.coordinator()
    }

    async fn declare(&self) -> Result<bool> {
        let (roster, live) = self.target.open().await?;
        live.call_tracked(|session| session.declare(roster)).await.took_effect()
    }

    async fn find_member(&self, id: &Name) -> Result<Member> {
        let found = self.read_members().await?.into_iter().find(|member| member.id() == id);
        found.ok_or_else(|| no_such_member(id))
    }

    async fn read_members(&self) -> Result<Vec<Member>> {
        let (roster, live) = self.target.open().await?;
        let snapshot = live.call(|session| session.snapshot(roster, None)).await?;
        match snapshot.declared {
            true => snapshot.entries.iter().map(Member::read).collect(),
            false => Err(support::group_not_created()),
        }
    }
}

fn member_id(id: impl AsRef<[u8]>) -> Result<Name> {
    Name::new(id).map_err(|error| error.with_context("used as", "member id"))
}

fn already_exists() -> Error {
    Error::new(ErrorKind::GroupAlreadyExists, "the group exists already; join it, or use create_if_missing")
}

fn no_such_member(id: &Name) -> Error {
    Error::new(ErrorKind::MemberNotJoined, "the group has no such member").with_context("member", id)
}
