//! Observing an election: each change of the leader once, in rising terms.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use super::leadership::Leader;
use crate::Result;
use crate::coordinator::RosterTarget;
use crate::entry::RosterWatch;
use crate::lock::{FencingToken, Participant};
use crate::session::roster_state::RosterState;

/// The leaders of an election from now on; see [`Election::observe`](crate::Election::observe).
///
/// Terms never go back, with one exception: if the server was emptied or restored from a backup, its terms may start
/// again, and so does the observation.
#[derive(Debug)]
#[must_use = "leaders are received with `next`"]
pub struct Observation {
    watch: RosterWatch,
    started: bool,
    /// What `next` has returned last, once it has returned.
    last: Option<Leader>,
    greatest_term: Option<FencingToken>,
    /// Whether the stream has ended, with an error.
    ended: bool,
}

impl Observation {
    pub(super) fn new(target: RosterTarget) -> Self {
        let watch = RosterWatch::new(target, "observe");
        Self { watch, started: false, last: None, greatest_term: None, ended: false }
    }

    /// Returns the present leader at the first call, and waits for the next change at each further call. `None` means
    /// that there is no leader.
    ///
    /// A leader whose term begins and ends between two calls may be skipped. Waits through outages and losses of the
    /// session. Cancel safe.
    ///
    /// # Errors
    /// `InvalidName`, `Corrupt`, `AuthFailed`; `Closed` once the coordinator is closed.
    pub async fn next(&mut self) -> Result<Option<Leader>> {
        poll_fn(|context| self.poll_leader(context)).await
    }

    fn poll_leader(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Leader>>> {
        loop {
            let update = ready!(self.watch.poll_next(context))?;
            if update.new_history {
                (self.started, self.greatest_term) = (false, None);
            }
            let leader = leader_of(&update.state)?;
            if self.is_news(leader.as_ref()) {
                self.started = true;
                self.last.clone_from(&leader);
                return Poll::Ready(Ok(leader));
            }
        }
    }

    fn is_news(&mut self, leader: Option<&Leader>) -> bool {
        let term = leader.map(|leader| leader.term);
        // A replica that lags behind the replica that was read before may still show an earlier leader.
        let is_old = term.is_some() && term < self.greatest_term;
        let is_unchanged = self.started && self.last.as_ref() == leader;
        self.greatest_term = self.greatest_term.max(term);
        !is_old && !is_unchanged
    }
}

/// The leaders of [`Observation::next`]. The stream ends after an error.
impl Stream for Observation {
    type Item = Result<Option<Leader>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let leader = ready!(self.poll_leader(context));
        self.ended = leader.is_err();
        Poll::Ready(Some(leader))
    }
}

fn leader_of(state: &RosterState) -> Result<Option<Leader>> {
    Ok(state.first().map(Participant::read).transpose()?.map(Leader::from))
}
