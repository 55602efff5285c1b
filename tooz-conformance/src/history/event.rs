//! What happened in a run, event by event, on one clock: the monotonic clock of the host, which all its processes share.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, FaultKind};

/// Who did it. `OUTSIDE` is the run itself.
pub type Client = u16;

/// A client that takes the place of one that was killed has the number of that one and this much more.
pub(super) const GENERATION: Client = 1000;

/// From this number on, a client only looks on: an observer, a watcher or a reader.
const ONLOOKERS: Client = 500;

/// The number of an onlooker.
pub(super) fn onlooker(index: usize) -> Client {
    ONLOOKERS + Client::try_from(index).unwrap_or_default()
}

/// Whether a client only looks on.
pub(super) fn is_onlooker(client: Client) -> bool {
    client % GENERATION >= ONLOOKERS
}

/// The member name of a client's coordinators, and of those who take its place.
pub(super) fn member(client: Client) -> String {
    format!("c{}", client % GENERATION)
}

/// The client number of faults and of what is found at the end.
pub const OUTSIDE: Client = Client::MAX;

/// The number of an operation among those of its client.
pub type Op = u32;

/// One event. What is recorded is always a bound that is safe: a hold begins no earlier and ends no later than its
/// events say, however long the process was stopped between an action and its recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds of the monotonic clock.
    pub at: u64,
    /// Who.
    pub client: Client,
    /// What.
    pub act: Act,
}

/// How something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Which of the run's locks, semaphores or elections.
    pub object: u8,
    /// Shared mode.
    pub shared: bool,
    /// How many may hold it at once, in exclusive mode.
    pub limit: u32,
    /// Whether it stands in line.
    pub waits: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Begins to ask for a lock, permit or leadership.
    Ask(Op, Wish),
    /// Got it; recorded before the check that it is held.
    Granted(Op, u64),
    /// It was not free.
    Refused(Op),
    /// The attempt failed.
    Failed(Op, String),
    /// The attempt was given up, by dropping its future.
    Cancelled(Op),
    /// It is held: recorded before the check that said so.
    Held(Op),
    /// The holder was told, or saw, that it is lost.
    Lost(Op, String),
    /// Begins to release.
    Leave(Op),
    /// The release ended; whether it was ours until then, or `None` if that is not known.
    Left(Op, Option<bool>),
    /// An observer saw this leader and term.
    Saw(Option<(String, u64)>),
    /// Became a member.
    Joined(Op, String),
    /// Left the group cleanly.
    Parted(Op),
    /// A watcher was told of a change.
    Told(Change),
    /// The members as they were found when all was quiet: incarnations.
    Members(Vec<String>),
    /// Begins to publish this.
    Publish(String),
    /// It was acknowledged with this offset.
    Published(String, u64),
    /// A reader got this; `stream` numbers the subscriptions of the reader that continue each other.
    Read(u64, String),
    /// An onlooker looked on until all was quiet.
    LookedOn,
    /// An onlooker was told an error that should not have been.
    Broken(String),
    /// A fault begins.
    Fault(Fault),
    /// It is over.
    Healed(Fault),
    /// The entry with this token was removed from this object, behind its owner's back.
    Removed(u8, u64),
    /// The whole process could not run for so long, ending now.
    Stalled(u64),
    /// So many entries stand although all clients have gone, in this object.
    Leftover(u8, usize),
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// This incarnation of this member is there.
    Joined(String, String),
    /// It left.
    Left(String, String),
    /// It changed its capabilities.
    Updated(String, String),
    /// The view was interrupted.
    Resync,
}

/// The events of one run in the order of the clock, and what the run promised.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order of `at`.
    pub events: Vec<Event>,
    /// What the checkers need to know of the run.
    pub terms: Terms,
}

/// What a run may take for granted.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The TTL of the sessions.
    pub ttl: Duration,
    /// How soon a free lock must be granted when nothing is wrong.
    pub prompt: Duration,
    /// How much earlier than another somebody must have asked for his place to be earlier for certain.
    pub arrival: Duration,
    /// How late the backend may notice a crash, beyond the TTL.
    pub grace: Duration,
    /// Whether sessions expire: a client that is frozen then holds nothing up for ever.
    pub expires: bool,
    /// Whether the clock is that of the host, so that a process may be stopped without having been told.
    pub real_time: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3),
            prompt: Duration::from_secs(2),
            arrival: Duration::from_secs(1),
            grace: Duration::from_secs(2),
            expires: true,
            real_time: true,
        }
    }
}

impl Terms {
    /// How long it takes until nothing of a fault is left: sessions have expired, and clients have come back.
    pub fn settling(&self) -> Duration {
        self.ttl + self.grace
    }
}

impl History {
    /// Puts the events in the order of the clock; those of one moment keep their order.
    pub fn new(mut events: Vec<Event>, terms: Terms) -> Self {
        events.sort_by_key(|event| event.at);
        Self { events, terms }
    }

    /// When the first event was.
    pub fn start(&self) -> u64 {
        self.events.first().map_or(0, |event| event.at)
    }

    /// When the last event was.
    pub fn end(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at)
    }

    /// Whether nothing was wrong for long enough before this moment that all must have come back. A server that took
    /// longer to restart than was planned leaves less time.
    pub fn is_settled(&self, at: u64) -> bool {
        let rest = self.terms.settling().as_nanos() as u64;
        let harm = |act: &Act| matches!(act, Act::Fault(_) | Act::Healed(_));
        let last = self.events.iter().rev().find(|event| harm(&event.act));
        last.is_none_or(|last| last.at + rest <= at)
    }

    /// The operations that were begun, of all kinds.
    pub fn operations(&self) -> usize {
        let begins = |act: &Act| matches!(act, Act::Ask(..) | Act::Joined(..) | Act::Publish(_) | Act::Read(..));
        self.events.iter().filter(|event| begins(&event.act)).count()
    }

    /// How many faults of each kind there were.
    pub fn faults(&self) -> BTreeMap<FaultKind, usize> {
        let mut count = BTreeMap::new();
        for event in &self.events {
            if let Act::Fault(fault) = &event.act {
                *count.entry(fault.kind()).or_default() += 1;
            }
        }
        count
    }
}

impl Act {
    /// The operation that it is a part of.
    pub fn op(&self) -> Option<Op> {
        match self {
            Self::Ask(op, _)
            | Self::Granted(op, _)
            | Self::Refused(op)
            | Self::Failed(op, _)
            | Self::Cancelled(op)
            | Self::Held(op)
            | Self::Lost(op, _)
            | Self::Leave(op)
            | Self::Left(op, _)
            | Self::Joined(op, _)
            | Self::Parted(op) => Some(*op),
            _ => None,
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.start();
        for event in &self.events {
            let seconds = Duration::from_nanos(event.at - start).as_secs_f64();
            match event.client {
                OUTSIDE => writeln!(f, "  {seconds:>12.6}         {:?}", event.act)?,
                client => writeln!(f, "  {seconds:>12.6}  c{client:<5} {:?}", event.act)?,
            }
        }
        Ok(())
    }
}
