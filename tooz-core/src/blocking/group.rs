//! Groups of the blocking API.

use std::convert::Infallible;

use serde::Serialize;

use super::coordinator::Coordinator;
use super::runtime::Runtime;
use crate::{Error, GroupEvent, Member, Result};

impl Coordinator {
    /// The group with this name.
    #[must_use]
    pub fn group(&self, name: impl AsRef<[u8]>) -> Group {
        Group { runtime: self.runtime.clone(), group: self.inner().group(name) }
    }
}

/// A group; see [`tooz_core::Group`](crate::Group).
#[derive(Clone, Debug)]
pub struct Group {
    runtime: Runtime,
    group: crate::Group,
}

impl Group {
    /// Creates the group.
    ///
    /// # Errors
    /// As [`Group::create`](crate::Group::create).
    pub fn create(&self) -> Result<()> {
        self.runtime.run(self.group.create())
    }

    /// Creates the group unless it exists, and returns whether it created it.
    ///
    /// # Errors
    /// As [`Group::create_if_missing`](crate::Group::create_if_missing).
    pub fn create_if_missing(&self) -> Result<bool> {
        self.runtime.run(self.group.create_if_missing())
    }

    /// Deletes the group, which must have no members.
    ///
    /// # Errors
    /// As [`Group::delete`](crate::Group::delete).
    pub fn delete(&self) -> Result<()> {
        self.runtime.run(self.group.delete())
    }

    /// Joins the group.
    ///
    /// # Errors
    /// As [`Group::join`](crate::Group::join).
    pub fn join(&self, capabilities: impl Serialize) -> Result<Membership> {
        let membership = self.runtime.run(self.group.join(capabilities))?;
        Ok(Membership { membership, runtime: self.runtime.clone() })
    }

    /// Reads all members, in the order in which they joined.
    ///
    /// # Errors
    /// As [`Group::members`](crate::Group::members).
    pub fn members(&self) -> Result<Vec<Member>> {
        self.runtime.run(self.group.members())
    }

    /// Follows the members: the present ones first, then each change.
    ///
    /// # Errors
    /// As [`Group::watch`](crate::Group::watch).
    pub fn watch(&self) -> Result<GroupWatch> {
        let watch = self.runtime.run(self.group.watch())?;
        Ok(GroupWatch { watch, runtime: self.runtime.clone() })
    }
}

/// A membership. Dropping it leaves the group in the background; see [`tooz_core::Membership`](crate::Membership).
#[derive(Debug)]
#[must_use = "dropping a membership leaves the group"]
pub struct Membership {
    // Fields are dropped in this order: the runtime ends last.
    membership: crate::Membership,
    runtime: Runtime,
}

impl Membership {
    /// Replaces the capabilities that other clients read.
    ///
    /// # Errors
    /// As [`Membership::update`](crate::Membership::update).
    pub fn update(&self, capabilities: impl Serialize) -> Result<()> {
        self.runtime.run(self.membership.update(capabilities))
    }

    /// Waits until the present incarnation is lost and returns the cause; `Unsupported` in a thread of an async runtime.
    pub fn lost(&self) -> Error {
        let Err(cause) = self.runtime.run(async { Err::<Infallible, _>(self.membership.lost().await) });
        cause
    }

    /// Leaves the group. Success means that this client was a member until now.
    ///
    /// # Errors
    /// As [`Membership::leave`](crate::Membership::leave).
    pub fn leave(self) -> Result<()> {
        let Self { membership, runtime } = self;
        runtime.run(membership.leave())
    }
}

/// The members of a group and their changes; see [`tooz_core::GroupWatch`](crate::GroupWatch).
#[derive(Debug)]
#[must_use = "events are received with `next`"]
pub struct GroupWatch {
    // Fields are dropped in this order: the runtime ends last.
    watch: crate::GroupWatch,
    runtime: Runtime,
}

impl GroupWatch {
    /// Waits for the next event.
    ///
    /// # Errors
    /// As [`GroupWatch::next`](crate::GroupWatch::next).
    #[expect(clippy::should_implement_trait, reason = "as in the async API")]
    pub fn next(&mut self) -> Result<GroupEvent> {
        self.runtime.run(self.watch.next())
    }
}
