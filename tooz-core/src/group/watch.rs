//! Watching a group: the differences between successive states of its members, as events.

use std::collections::{HashMap, VecDeque};

use futures_util::Stream;

use super::member::{Incarnation, Member};
use crate::coordinator::RosterTarget;
use crate::entry::RosterWatch;
use crate::{Name, Result};

/// A change in a group; see [`GroupWatch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A member is in the group: one of the first members when the watch begins, later one that has joined.
    Joined(Member),
    /// A member has left, crashed or was removed. Carries the member as it was last seen.
    Left(Member),
    /// A member has changed its capabilities.
    Updated(Member),
    /// The watch was interrupted, for instance by a loss of the session.
    ///
    /// The events that follow lead from the members that you have seen to the present members. A member that joined and
    /// left during the interruption is absent from them.
    Resync,
}

/// The members of a group and their changes; see [`Group::watch`](crate::Group::watch).
///
/// Each [`Incarnation`] has one `Joined` and one `Left`, in this order. Both are absent if it joins and leaves between
/// two reads; never only one of them. A member that leaves and joins again is a `Left` and a `Joined`, even if no read
/// saw it absent.
#[derive(Debug)]
#[must_use = "events are received with `next`"]
pub struct GroupWatch {
    group: Name,
    roster: RosterWatch,
    members: Vec<Member>,
    events: VecDeque<Result<GroupEvent>>,
}

impl GroupWatch {
    pub(super) async fn start(target: RosterTarget) -> Result<Self> {
        let group = target.roster().map_err(|error| error.with_operation("watch"))?.name.clone();
        let mut watch = Self { group, roster: RosterWatch::new(target), members: Vec::new(), events: VecDeque::new() };
        watch.read_change().await?;
        match watch.events.back() {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(watch),
        }
    }

    /// Waits for the next event, through outages and losses of the session. Cancel safe.
    ///
    /// # Errors
    /// `GroupNotCreated`, once, if the group was deleted; the next call waits until it is created again. `AuthFailed`;
    /// `Closed` once the coordinator is closed.
    pub async fn next(&mut self) -> Result<GroupEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.read_change().await?;
        }
    }

    /// The members after the last read, which may be ahead of the events that `next` has returned.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Converts into a [`Stream`] of the same events, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<GroupEvent>> + Send {
        futures_util::stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            let item = watch.next().await;
            let rest = item.is_ok().then_some(watch);
            Some((item, rest))
        })
    }

    /// Waits for the next change and returns the members after it, for a caller that needs no events.
    pub(crate) async fn next_members(&mut self) -> Result<&[Member]> {
        if self.events.is_empty() {
            self.read_change().await?;
        }
        match self.events.drain(..).next_back() {
            Some(Err(error)) => Err(error),
            _ => Ok(&self.members),
        }
    }

    async fn read_change(&mut self) -> Result<()> {
        let update = self.roster.next("watch").await?;
        let (members, error) = match Member::read_all(&update.snapshot) {
            Ok(members) => (members, None),
            Err(error) => (Vec::new(), Some(error.with_operation("watch").with_context("group", &self.group))),
        };
        if update.interrupted {
            self.events.push_back(Ok(GroupEvent::Resync));
        }
        self.events.extend(difference(&self.members, &members).into_iter().map(Ok));
        self.events.extend(error.map(Err));
        self.members = members;
        Ok(())
    }
}

/// The events that lead from the members `before` to the members `after`.
fn difference(before: &[Member], after: &[Member]) -> Vec<GroupEvent> {
    let (old, new) = (by_incarnation(before), by_incarnation(after));
    let left = before.iter().filter(|member| !new.contains_key(&member.incarnation()));
    let joined = after.iter().filter(|member| !old.contains_key(&member.incarnation()));
    let updated = after.iter().filter(|member| old.get(&member.incarnation()).is_some_and(|old| old != member));
    left.cloned()
        .map(GroupEvent::Left)
        .chain(joined.cloned().map(GroupEvent::Joined))
        .chain(updated.cloned().map(GroupEvent::Updated))
        .collect()
}

fn by_incarnation(members: &[Member]) -> HashMap<Incarnation, &Member> {
    members.iter().map(|member| (member.incarnation(), member)).collect()
}
