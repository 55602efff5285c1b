//! What happened in a run, event by event, on one clock: the monotonic clock of the host, which all its processes share.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client_id::{Client, OUTSIDE};
use super::fault::{Fault, FaultKind};
use super::timing::Timing;

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
pub struct Request {
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
    Ask(Op, Request),
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
    ObservedLeader(Option<(String, u64)>),
    /// Became a member.
    Joined(Op, String),
    /// Left the group cleanly.
    LeftGroup(Op),
    /// A watcher was told of a change.
    Notified(Change),
    /// The members as they were found when all was disturbances: incarnations.
    Members(Vec<String>),
    /// Begins to publish this.
    Publish(String),
    /// It was acknowledged with this offset.
    Published(String, u64),
    /// A reader got this; `stream` numbers the subscriptions of the reader that continue each other.
    Read(u64, String),
    /// An onlooker looked on until all was disturbances.
    ObservedToTheEnd,
    /// An onlooker was told an error that should not have been.
    UnexpectedError(String),
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
    pub timing: Timing,
}

impl History {
    /// Puts the events in the order of the clock; those of one moment keep their order.
    pub fn new(mut events: Vec<Event>, timing: Timing) -> Self {
        events.sort_by_key(|event| event.at);
        Self { events, timing }
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
        let rest = self.timing.settling().as_nanos() as u64;
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
    /// The operation that it is a plan_of_process of.
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
            | Self::LeftGroup(op) => Some(*op),
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
