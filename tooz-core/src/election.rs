//! Leader election: one leader a term, and terms rise.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::time::Duration;

use futures_util::Stream;

use crate::coordinator::Target;
use crate::driver::{IfBlocked, Mode, Snapshot};
use crate::lock::{FencingToken, Guard, Participant, Queue, enter, evict_holders, inspect, wait, within};
use crate::roster_watch::RosterWatch;
use crate::{Name, Result};

/// An election. Candidates are served in the order in which they campaigned.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::Coordinator::builder("memory://election-doc").member("a").connect().await?;
/// let election = coordinator.election("scheduler");
/// let leadership = election.campaign().await?;
/// assert_eq!(election.leader().await?.map(|leader| leader.term), Some(leadership.term()));
/// leadership.resign().await?;
/// assert_eq!(election.leader().await?, None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    target: Target,
}

impl Election {
    pub(crate) fn new(target: Target) -> Self {
        Self { target }
    }

    /// Waits to be elected, as long as it takes. Cancel safe: a dropped future withdraws the candidacy.
    ///
    /// # Errors
    /// As [`Lock::acquire`](crate::Lock::acquire).
    pub async fn campaign(&self) -> Result<Leadership> {
        let guard = self.target.run("campaign", wait(&self.target, Mode::Exclusive, NonZeroU32::MIN)).await?;
        Ok(Leadership { guard })
    }

    /// Becomes leader if there is none and nobody stands for it, else returns `None`.
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign).
    pub async fn try_campaign(&self) -> Result<Option<Leadership>> {
        let enter = enter(&self.target, Mode::Exclusive, NonZeroU32::MIN, IfBlocked::Withdraw);
        let guard = self.target.run("try_campaign", enter).await?;
        Ok(guard.map(|guard| Leadership { guard }))
    }

    /// Waits to be elected at most for `limit`.
    ///
    /// # Errors
    /// `Timeout`, else as [`campaign`](Self::campaign).
    pub async fn campaign_timeout(&self, limit: Duration) -> Result<Leadership> {
        within(limit, &self.target, self.campaign()).await
    }

    /// The leader at this moment.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn leader(&self) -> Result<Option<Leader>> {
        let line = self.inspect().await?;
        Ok(line.holders.into_iter().next().map(Leader::from))
    }

    /// The leader and the other candidates, in the order of their candidacy.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn inspect(&self) -> Result<Queue> {
        self.target.run("inspect", inspect(&self.target)).await
    }

    /// Deposes the leader; see [`Lock::break_lock`](crate::Lock::break_lock). Python's tooz calls it standing down.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn depose(&self) -> Result<Vec<Participant>> {
        self.target.run("depose", evict_holders(&self.target)).await
    }

    /// Follows who leads.
    pub fn observe(&self) -> Observation {
        Observation { watch: RosterWatch::new(self.target.clone()), last: None, greatest: None }
    }
}

/// The leadership of one term. It can be lost like any [`Guard`], to which it dereferences; dropping it resigns.
#[derive(Debug)]
#[must_use = "dropping a leadership resigns it"]
pub struct Leadership {
    guard: Guard,
}

impl Leadership {
    /// The term; greater than every earlier one. It is the fencing token.
    pub fn term(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// Resigns, and says whether the leadership was ours until then.
    ///
    /// # Errors
    /// As [`Guard::release`].
    pub async fn resign(self) -> Result<()> {
        self.guard.release().await.map_err(|error| error.with_operation("resign"))
    }
}

impl Deref for Leadership {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}

/// Who leads, in which term.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The member id of the leader.
    pub member: Name,
    /// The term.
    pub term: FencingToken,
}

impl From<Participant> for Leader {
    fn from(holder: Participant) -> Self {
        Self { member: holder.member, term: holder.token }
    }
}

/// The leaders of an election from now on; see [`Election::observe`]. Terms never go back.
#[derive(Debug)]
pub struct Observation {
    watch: RosterWatch,
    last: Option<Option<Leader>>,
    greatest: Option<FencingToken>,
}

impl Observation {
    /// The leader now, and then at each call the next change: a new leader, or `None` while there is none. Terms that
    /// come and go between two looks may be skipped. Waits through losses of the session. Cancel safe.
    ///
    /// # Errors
    /// `InvalidName`, `Corrupt`, `AuthFailed`, `SessionLost` once the coordinator was closed.
    pub async fn next(&mut self) -> Result<Option<Leader>> {
        loop {
            let (snapshot, _) = self.watch.next("observe").await?;
            if let Some(leader) = self.read(&snapshot)? {
                return Ok(leader);
            }
        }
    }

    /// The same as a [`Stream`], which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Option<Leader>>> + Send {
        futures_util::stream::unfold(Some(self), |observation| async {
            let mut observation = observation?;
            let item = observation.next().await;
            let rest = item.is_ok().then_some(observation);
            Some((item, rest))
        })
    }

    fn read(&mut self, snapshot: &Snapshot) -> Result<Option<Option<Leader>>> {
        let leader = snapshot.entries.first().map(Participant::read).transpose()?.map(Leader::from);
        let term = leader.as_ref().map(|leader| leader.term);
        // A replica that lags behind the one read before may still show an earlier leader.
        if self.last.as_ref() == Some(&leader) || term.is_some_and(|term| Some(term) < self.greatest) {
            return Ok(None);
        }
        self.greatest = self.greatest.max(term);
        self.last = Some(leader.clone());
        Ok(Some(leader))
    }
}
