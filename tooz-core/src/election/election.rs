//! Elections: candidates enter a queue, and the first one leads.

use std::time::Duration;

use super::leadership::{Leader, Leadership};
use super::observation::Observation;
use crate::Result;
use crate::coordinator::{Coordinator, Names, PAGE, RosterTarget};
use crate::driver::{Kind, Mode};
use crate::lock::{GrantQueue, Participant, Queue, QueueWatch};

impl Coordinator {
    /// The election with this name: 1 to 512 bytes. Sends nothing; the first operation reports an invalid name.
    ///
    /// [`Group::election`](crate::Group::election) is the election with the group's name.
    #[must_use]
    pub fn election(&self, name: impl AsRef<[u8]>) -> Election {
        Election::new(RosterTarget::new(self, Kind::Election, name))
    }

    /// The names of all elections that have a leader or a candidate, in pages; see [`Names`].
    pub fn elections(&self) -> Names {
        Names::new(self, "elections", |session, after| session.rosters(Kind::Election, after, PAGE))
    }
}

/// An election. Candidates become leaders in the order in which they campaigned.
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
    target: RosterTarget,
    queue: GrantQueue,
}

impl Election {
    pub(crate) fn new(target: RosterTarget) -> Self {
        Self { queue: GrantQueue::new(target.clone(), Mode::Exclusive, 1), target }
    }

    /// Waits to be elected, for as long as it takes.
    ///
    /// Cancel safe: if you drop the future, the candidacy is withdrawn.
    ///
    /// # Errors
    /// As [`Lock::acquire`](crate::Lock::acquire).
    pub async fn campaign(&self) -> Result<Leadership> {
        self.queue.wait("campaign").await.map(Leadership::new)
    }

    /// Becomes the leader if there is neither a leader nor another candidate. Otherwise returns `None` and leaves
    /// nothing behind.
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign).
    pub async fn try_campaign(&self) -> Result<Option<Leadership>> {
        Ok(self.queue.try_enter("try_campaign").await?.map(Leadership::new))
    }

    /// Waits to be elected, at most for `limit`. A limit of zero means one attempt. Cancel safe.
    ///
    /// # Errors
    /// `Timeout` if the election was not won in time; else as [`campaign`](Self::campaign).
    pub async fn campaign_timeout(&self, limit: Duration) -> Result<Leadership> {
        self.queue.wait_at_most("campaign_timeout", limit).await.map(Leadership::new)
    }

    /// Reads the leader at this moment. One request.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Corrupt`.
    pub async fn leader(&self) -> Result<Option<Leader>> {
        Ok(self.inspect().await?.holders.into_iter().next().map(Leader::from))
    }

    /// Reads the leader (the only holder) and the other candidates, in the order in which they campaigned. One request.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Corrupt`.
    pub async fn inspect(&self) -> Result<Queue> {
        self.queue.inspect().await
    }

    /// Follows the leader and the other candidates: the present ones first, then those after each change.
    /// [`observe`](Self::observe) follows the leader only.
    pub fn watch(&self) -> QueueWatch {
        self.queue.watch()
    }

    /// Takes the leadership away from the leader and returns it; see [`Lock::break_lock`](crate::Lock::break_lock).
    /// Python's tooz calls this `stand_down_group_leader`.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Corrupt`.
    pub async fn depose(&self) -> Result<Vec<Participant>> {
        self.queue.evict_holders("depose").await
    }

    /// Follows the changes of the leader.
    pub fn observe(&self) -> Observation {
        Observation::new(self.target.clone())
    }
}
