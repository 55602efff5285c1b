//! What one process of a run does: which clients it plays, and until when.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};
use tooz_core::{Builder, Coordinator};

use super::event::{Client, is_onlooker, member};
use super::recorder::Recorder;
use super::{group, seat, topic};

/// What the clients of a run work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Workload {
    /// Exclusive locks.
    Lock,
    /// Locks in both modes.
    SharedLock,
    /// Semaphores.
    Semaphore,
    /// Elections, with observers.
    Election,
    /// Groups, with watchers.
    Group,
    /// Topics, with publishers and readers.
    Topic,
}

impl Workload {
    /// Each.
    pub const ALL: [Self; 6] =
        [Self::Lock, Self::SharedLock, Self::Semaphore, Self::Election, Self::Group, Self::Topic];

    /// As in the names of trials.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::SharedLock => "shared_lock",
            Self::Semaphore => "semaphore",
            Self::Election => "election",
            Self::Group => "group",
            Self::Topic => "topic",
        }
    }

    /// Whether it needs somebody who only looks on.
    pub(super) fn is_observed(self) -> bool {
        matches!(self, Self::Election | Self::Group | Self::Topic)
    }
}

/// How many locks, semaphores or elections a run has.
pub(super) const OBJECTS: u8 = 2;

/// How many may hold a semaphore of a run.
pub(super) const PERMITS: u32 = 2;

/// The name of an object in the backend.
pub(super) fn object_name(object: u8) -> String {
    format!("object-{object}")
}

/// What one process does. Moments are those of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// With what.
    pub workload: Workload,
    /// What all choices of the clients are drawn from.
    pub seed: u64,
    /// Which clients it plays.
    pub clients: Vec<Client>,
    /// The TTL of their sessions.
    pub ttl: Duration,
    /// When they begin nothing new any more.
    pub until: u64,
    /// Until when onlookers look.
    pub settled: u64,
    /// Until when members stay, at least.
    pub over: u64,
    /// Whether the clock is that of the host.
    pub real_time: bool,
}

/// How a client of this name begins to connect.
pub type Connect = Arc<dyn Fn(&str) -> Builder + Send + Sync>;

/// Plays a part to its end.
pub async fn perform(part: Part, connect: Connect, recorder: Recorder) {
    let stalls = {
        let recorder = recorder.clone();
        let real_time = part.real_time;
        tokio::spawn(async move {
            if real_time {
                recorder.watch_stalls().await;
            }
        })
    };
    let players = part.clients.iter().map(|id| {
        let mut player = Player {
            id: *id,
            rng: StdRng::seed_from_u64(part.seed.wrapping_mul(0x9e37_79b9).wrapping_add(u64::from(*id))),
            part: part.clone(),
            connect: connect.clone(),
            recorder: recorder.clone(),
            ops: 0,
        };
        tokio::spawn(async move { player.play().await })
    });
    for outcome in join_all(players.collect::<Vec<_>>()).await {
        if let Err(error) = outcome
            && let Ok(panic) = error.try_into_panic()
        {
            stalls.abort();
            std::panic::resume_unwind(panic);
        }
    }
    stalls.abort();
}

/// One client.
pub(super) struct Player {
    pub(super) id: Client,
    pub(super) rng: StdRng,
    pub(super) part: Part,
    connect: Connect,
    pub(super) recorder: Recorder,
    ops: u32,
}

impl Player {
    async fn play(&mut self) {
        match (self.part.workload, is_onlooker(self.id)) {
            (Workload::Group, false) => group::join_and_leave(self).await,
            (Workload::Group, true) => group::watch(self).await,
            (Workload::Topic, false) => topic::publish(self).await,
            (Workload::Topic, true) => topic::read(self).await,
            (_, false) => seat::take_and_leave(self).await,
            (_, true) => seat::observe(self).await,
        }
    }

    /// The number of the next operation.
    pub(super) fn next_op(&mut self) -> u32 {
        self.ops += 1;
        self.ops
    }

    pub(super) fn until(&self) -> Instant {
        self.recorder.instant(self.part.until)
    }

    pub(super) fn settled(&self) -> Instant {
        self.recorder.instant(self.part.settled)
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until()
    }

    pub(super) fn ttl(&self) -> Duration {
        self.part.ttl
    }

    /// Connects, again and again if need be; `None` if that did not work in time.
    pub(super) async fn connect(&self, limit: Instant) -> Option<Coordinator> {
        let attempt = async {
            loop {
                match (self.connect)(&member(self.id)).ttl(self.ttl()).timeout(self.ttl() / 3).connect().await {
                    Ok(coordinator) => return coordinator,
                    Err(error) => tracing::debug!(%error, "no connection yet"),
                }
                sleep(self.ttl() / 30).await;
            }
        };
        timeout_at(limit, attempt).await.ok()
    }
}
