//! Watching a group: the differences between successive states of its roster, as events.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use super::member::Member;
use crate::coordinator::RosterTarget;
use crate::driver::support;
use crate::entry::RosterWatch;
use crate::session::entry_tree::Difference;
use crate::session::roster_state::RosterState;
use crate::{ErrorKind, Name, Result};

/// A change in a group; see [`GroupWatch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A member is in the group. The watch begins with one such event for each present member; later ones have joined.
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
/// Each [`Incarnation`](crate::Incarnation) has one `Joined` and then one `Left`. If it joins and leaves between two calls
/// of `next`, both may be absent, but never only one of them. A member that leaves and joins again is a `Left` and a
/// `Joined`. A watch that you rarely read reports what leads to the present members, not everything that happened.
#[derive(Debug)]
#[must_use = "events are received with `next`"]
pub struct GroupWatch {
    group: Name,
    roster: RosterWatch,
    /// The state that the events lead to.
    state: RosterState,
    events: VecDeque<Result<GroupEvent>>,
    /// Whether the stream has ended, with an error.
    ended: bool,
}

impl GroupWatch {
    pub(super) async fn start(target: RosterTarget) -> Result<Self> {
        let group = target.roster().map_err(|error| error.with_operation("watch"))?.name.clone();
        let (roster, state) = (RosterWatch::new(target, "watch"), RosterState::default());
        let mut watch = Self { group, roster, state, events: VecDeque::new(), ended: false };
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
        poll_fn(|context| self.poll_event(context)).await
    }

    /// The members after the last change that was received, which may be ahead of the events that `next` has returned.
    pub fn members(&self) -> Vec<Member> {
        self.state.entries().iter().filter_map(|entry| Member::read(entry).ok()).collect()
    }

    /// Waits for the next events, and returns all that are known.
    pub(crate) async fn next_events(&mut self) -> Result<Vec<Result<GroupEvent>>> {
        while self.events.is_empty() {
            self.read_change().await?;
        }
        Ok(self.take_events())
    }

    /// The events that `next` has not returned yet.
    pub(crate) fn take_events(&mut self) -> Vec<Result<GroupEvent>> {
        self.events.drain(..).collect()
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<GroupEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            ready!(self.poll_change(context))?;
        }
    }

    async fn read_change(&mut self) -> Result<()> {
        poll_fn(|context| self.poll_change(context)).await
    }

    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let update = ready!(self.roster.poll_next(context))?;
        if update.interrupted {
            self.events.push_back(Ok(GroupEvent::Resync));
        }
        let is_created = update.state.is_declared();
        let state = if is_created { update.state } else { RosterState::default() };
        self.events.extend(events(state.differences(&self.state)));
        if !is_created {
            let error = support::group_not_created().with_operation("watch").with_context("group", &self.group);
            self.events.push_back(Err(error));
        }
        self.state = state;
        Poll::Ready(Ok(()))
    }
}

/// The events of [`GroupWatch::next`]. The stream continues after `GroupNotCreated` and ends after any other error.
impl Stream for GroupWatch {
    type Item = Result<GroupEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.poll_event(context));
        self.ended = event.as_ref().is_err_and(|error| error.kind() != ErrorKind::GroupNotCreated);
        Poll::Ready(Some(event))
    }
}

/// First the members that left, then those that joined, so that a member that joined again is reported as left first.
fn events(mut differences: Vec<Difference>) -> impl Iterator<Item = Result<GroupEvent>> {
    differences.sort_by_key(|difference| match difference {
        Difference::Left(_) => 0,
        Difference::Entered(_) => 1,
        Difference::Replaced(_) => 2,
    });
    differences.into_iter().map(|difference| match difference {
        Difference::Left(entry) => Member::read(&entry).map(GroupEvent::Left),
        Difference::Entered(entry) => Member::read(&entry).map(GroupEvent::Joined),
        Difference::Replaced(entry) => Member::read(&entry).map(GroupEvent::Updated),
    })
}
