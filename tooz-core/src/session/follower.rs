//! Follows one roster for all its watchers in one session, so that each change is received once, however many watchers
//! wait.
//!
//! - One task receives the updates of the driver, applies them to the state of the roster, and publishes each new state
//!   through one watch channel. A watcher that lags finds the newest state there.
//! - A new watcher must see what was done before it began. It requests a new round: the task begins to follow anew, with
//!   a snapshot that is read after the request. Requests that arrive before the round begins share it.
//! - The task also begins anew when the backend was not available. Any other error ends it: the watchers that wait
//!   receive the error once, and the next watcher starts a new follower.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::liveness::Liveness;
use super::retry::{attempt, retry};
use super::roster_state::RosterState;
use super::shared_tasks::SharedTask;
use crate::driver::{Follow, Roster, Session, Update};
use crate::{Error, ErrorKind, Result};

/// The shared follower of one roster. Its task ends with the session, or when the last watcher drops the follower.
#[derive(Debug)]
pub(crate) struct RosterFollower {
    published: watch::Receiver<Published>,
    rounds: Arc<Rounds>,
}

/// What the task has published last.
#[derive(Clone, Debug, Default)]
struct Published {
    /// The round in which the state was received; 0 before the first.
    round: u64,
    /// Rises with every change of the roster.
    generation: u64,
    state: RosterState,
    /// What has ended the task.
    error: Option<Error>,
}

/// The number of the last round that a watcher has requested.
#[derive(Debug, Default)]
struct Rounds {
    requested: AtomicU64,
    raised: Notify,
}

impl Rounds {
    fn requested(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    /// Requests a round that begins after this call, and returns its number.
    fn request(&self) -> u64 {
        let round = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
        self.raised.notify_one();
        round
    }

    /// Waits until a round after this one is requested.
    async fn beyond(&self, round: u64) {
        while self.requested() <= round {
            self.raised.notified().await;
        }
    }
}

impl RosterFollower {
    /// Starts the task in the runtime of the session, since the runtimes of watchers may end earlier.
    pub(crate) fn start(
        runtime: &Handle,
        session: Arc<dyn Session>,
        liveness: Arc<Liveness>,
        roster: Arc<Roster>,
    ) -> Self {
        let (publisher, published) = watch::channel(Published::default());
        let rounds = Arc::<Rounds>::default();
        let task = FollowerTask { session, liveness, roster, rounds: rounds.clone(), publisher };
        runtime.spawn(task.liveness.process().run(task.run()));
        Self { published, rounds }
    }

    /// Returns a state and its generation: the newest one after the generation `seen`, or, if nothing was seen, a state
    /// that is read after this call. Cancel safe.
    ///
    /// # Errors
    /// The error that ended the task.
    pub(crate) async fn next(&self, seen: Option<u64>) -> Result<(u64, RosterState)> {
        let mut published = self.published.clone();
        let round = if seen.is_none() { self.rounds.request() } else { 0 };
        let is_next = |published: &Published| {
            let is_newer = seen.is_none_or(|seen| published.generation > seen);
            published.error.is_some() || (published.round >= round && is_newer)
        };
        match published.wait_for(is_next).await.map(|published| published.clone()) {
            Ok(Published { error: Some(error), .. }) => Err(error),
            Ok(Published { generation, state, .. }) => Ok((generation, state)),
            Err(_) => Err(Error::new(
                ErrorKind::Unexpected,
                "the task that follows the roster has ended; keep the runtime in which the coordinator connected",
            )),
        }
    }
}

impl SharedTask for RosterFollower {
    fn is_over(&self) -> bool {
        self.published.has_changed().is_err() || self.published.borrow().error.is_some()
    }
}

/// The task that follows.
struct FollowerTask {
    session: Arc<dyn Session>,
    liveness: Arc<Liveness>,
    roster: Arc<Roster>,
    rounds: Arc<Rounds>,
    publisher: watch::Sender<Published>,
}

impl FollowerTask {
    async fn run(self) {
        tokio::select! {
            biased;
            () = self.publisher.closed() => {}
            error = self.follow() => self.publisher.send_modify(|published| published.error = Some(error)),
        }
    }

    /// Follows the roster round after round, until an error ends it.
    async fn follow(&self) -> Error {
        self.rounds.beyond(0).await;
        let mut current = None;
        loop {
            let round = self.rounds.requested();
            let (begun, mut update) = match retry(&self.liveness, None, || self.begin()).await.result {
                Ok(begun) => begun,
                Err(error) => return error,
            };
            // Only now the follower of the last round is dropped, so that a driver can keep what both need.
            let follower = current.insert(begun);
            loop {
                self.publish(round, update);
                let next = tokio::select! {
                    biased;
                    () = self.rounds.beyond(round) => break,
                    next = attempt(&self.liveness, follower.next()) => next,
                };
                update = match next {
                    Ok(update) => update,
                    Err(error) if error.is_retryable() => break,
                    Err(error) => return error,
                };
            }
        }
    }

    async fn begin(&self) -> Result<(Box<dyn Follow + '_>, Update)> {
        let mut follower = self.session.follow(&self.roster);
        let first = follower.next().await?;
        Ok((follower, first))
    }

    fn publish(&self, round: u64, update: Update) {
        self.publisher.send_if_modified(|published| {
            let has_changed = published.state.apply(update);
            published.generation += u64::from(has_changed);
            // The first state counts as a change even if the roster is empty.
            if published.round == 0 {
                published.generation = 1;
            }
            has_changed | (std::mem::replace(&mut published.round, round) != round)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use crate::{Coordinator, GroupEvent, Result};

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_was_idle_is_shown_the_present_and_not_what_it_has_missed() -> Result<()> {
        let a = Coordinator::builder("memory://follower").member("a").connect().await?;
        let b = Coordinator::builder("memory://follower").member("b").connect().await?;
        let (first, second) = (a.election("e"), b.election("e"));
        let (mut active, mut idle) = (first.observe(), first.observe());
        assert_eq!((active.next().await?, idle.next().await?), (None, None));
        let leadership = first.campaign().await?;
        assert_eq!(active.next().await?.map(|leader| leader.term), Some(leadership.term()));
        leadership.resign().await?;
        let leadership = second.campaign().await?;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(idle.next().await?.map(|leader| leader.term), Some(leadership.term()));
        assert!(timeout(Duration::from_secs(60), idle.next()).await.is_err());
        assert_eq!(active.next().await?.map(|leader| leader.term), Some(leadership.term()));
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn watchers_that_begin_one_after_the_other_disturb_no_earlier_one() -> Result<()> {
        let a = Coordinator::builder("memory://follower-rounds").member("a").connect().await?;
        let group = a.group("g");
        group.create().await?;
        let mut earlier = group.watch().await?;
        for _ in 0..10 {
            let membership = group.join(()).await?;
            assert_eq!(group.watch().await?.members().len(), 1);
            assert!(matches!(earlier.next().await?, GroupEvent::Joined(_)));
            membership.leave().await?;
            assert_eq!(group.watch().await?.members().len(), 0);
            assert!(matches!(earlier.next().await?, GroupEvent::Left(_)));
        }
        assert!(timeout(Duration::from_secs(60), earlier.next()).await.is_err());
        Ok(())
    }
}
