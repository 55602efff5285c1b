//! The events of a run on one clock, that of the host, which all its processes share.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client_id::{Client, OUTSIDE};
use super::fault::{Fault, FaultKind};
use super::timing::Timing;

/// The number of an operation among those of its client.
pub type Op = u32;

/// One event. Recorded times are safe bounds: a recorded hold begins no earlier and ends no later than the real one, even
/// if the process was stopped between an action and its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The time in nanoseconds of the clock of the host.
    pub at: u64,
    /// The client.
    pub client: Client,
    /// What happened.
    pub act: Act,
}

/// A request for a lock, a permit or a leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The number of the lock, semaphore or election.
    pub object: u8,
    /// Whether the mode is shared.
    pub shared: bool,
    /// The limit of holders in exclusive mode.
    pub limit: u32,
    /// Whether the request waits in the queue. Otherwise it is a try.
    pub waits: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Act {
    /// The client requests a lock, permit or leadership.
    Ask(Op, Request),
    /// The request is granted with this token. Recorded before the client checks that it holds.
    Granted(Op, u64),
    /// A try found the object held.
    Refused(Op),
    /// The request failed.
    Failed(Op, String),
    /// The client dropped the request.
    Cancelled(Op),
    /// The client holds. Recorded before the check that said so.
    Held(Op),
    /// The holder was notified that it lost the object.
    Lost(Op, String),
    /// The client begins to release.
    Leave(Op),
    /// The release returned: whether the client held until then, or `None` if that is unknown.
    Left(Op, Option<bool>),
    /// An observer received this leader and term.
    ObservedLeader(Option<(String, u64)>),
    /// The client joined the group.
    Joined(Op, String),
    /// The client left the group.
    LeftGroup(Op),
    /// A watcher received a change.
    Notified(Change),
    /// The incarnations of the members after a time without faults.
    Members(Vec<String>),
    /// The client begins to publish this payload.
    Publish(String),
    /// The publication was acknowledged with this offset.
    Published(String, u64),
    /// A reader received this offset and payload.
    Read(u64, String),
    /// A reader subscribes after this offset.
    Resumed(u64),
    /// An observer received an error because its view is not continuous: a gap in a topic, or a group that does not exist.
    Interrupted(String),
    /// From now on the run itself leads, in this term, until all observers have ended.
    Leads(u64),
    /// An observer observed until the end of the settling time.
    ObservedToTheEnd,
    /// An observer received an error that it must not receive.
    UnexpectedError(String),
    /// A fault begins.
    Fault(Fault),
    /// A fault ends.
    Healed(Fault),
    /// A fault removed the entry with this token from this object.
    Removed(u8, u64),
    /// The whole process was stopped for this many nanoseconds, ending now.
    Stalled(u64),
    /// This many entries of this object exist although all clients have ended.
    Leftover(u8, usize),
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Change {
    /// This incarnation of this member joined.
    Joined(String, String),
    /// It left.
    Left(String, String),
    /// It changed its capabilities.
    Updated(String, String),
    /// The watch was interrupted.
    Resync,
}

/// The events of one run in the order of the clock, and the times that the run relies on.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The events, in the order of `at`.
    pub events: Vec<Event>,
    /// The times that the checks need.
    pub timing: Timing,
}

impl History {
    /// Sorts the events by time. Events of the same time keep their order.
    pub fn new(mut events: Vec<Event>, timing: Timing) -> Self {
        events.sort_by_key(|event| event.at);
        Self { events, timing }
    }

    /// The time of the first event.
    pub fn start(&self) -> u64 {
        self.events.first().map_or(0, |event| event.at)
    }

    /// The time of the last event.
    pub fn end(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at)
    }

    /// Whether the last fault ended so long before this time that every client must have recovered. A server that
    /// restarts slower than planned leaves less time.
    pub fn is_settled(&self, at: u64) -> bool {
        let rest = self.timing.settling().as_nanos() as u64;
        let is_fault =
            |act: &Act| matches!(act, Act::Fault(fault) | Act::Healed(fault) if !fault.kind().must_not_disturb());
        let last = self.events.iter().rev().find(|event| is_fault(&event.act));
        last.is_none_or(|last| last.at + rest <= at)
    }

    /// The number of operations of all kinds.
    pub fn operations(&self) -> usize {
        let begins = |act: &Act| matches!(act, Act::Ask(..) | Act::Joined(..) | Act::Publish(_) | Act::Read(..));
        self.events.iter().filter(|event| begins(&event.act)).count()
    }

    /// The number of faults of each kind.
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
    /// The operation that the event belongs to.
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
