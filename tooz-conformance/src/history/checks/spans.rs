//! The attempts of a history: when each was requested, granted, last seen held, and over; and when faults were active.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::client_id::Client;
use crate::history::event::{Act, Event, History, Op, Request};
use crate::history::fault::{Fault, FaultKind};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The record contains no end.
    Open,
    /// The client was killed.
    Killed,
    /// It was not granted.
    NotGranted,
    /// It was released. The value is what the release returned, if that is known.
    Released(Option<bool>),
    /// It was lost, and the holder was notified.
    Lost(String),
}

/// One attempt to acquire something, and the time for which it was held.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Span {
    /// The client, and the number of its operation.
    pub id: (Client, Op),
    /// What was requested.
    pub request: Request,
    /// When it was requested.
    pub asked: u64,
    /// The time at which it was certainly granted, and the token.
    pub granted: Option<(u64, u64)>,
    /// The last time at which it was certainly held from the holder's point of view. The time of the grant if the
    /// holder never checked.
    pub held_until: u64,
    /// When the client stopped waiting for it or holding it.
    pub over: u64,
    /// How it ended.
    pub ending: Ending,
}

impl Span {
    /// The token, if it was granted.
    pub fn token(&self) -> Option<u64> {
        self.granted.map(|(_, token)| token)
    }

    /// Whether a limit of 1 forbids holding both at once.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.request.object == other.request.object && !(self.request.shared && other.request.shared)
    }
}

impl Span {
    /// When the release ended, if that was recorded.
    pub fn left(&self, history: &History) -> Option<u64> {
        let left =
            |event: &&Event| event.client == self.id.0 && matches!(event.act, Act::Left(op, _) if op == self.id.1);
        history.events.iter().find(left).map(|event| event.at)
    }

    /// Whether a fault removed its entry before the grant was recorded. Other clients may have been granted the object by
    /// then.
    pub fn was_removed_before_grant(&self, disturbances: &Disturbances, history: &History) -> bool {
        self.granted.is_some_and(|(at, token)| {
            let removed = Act::Removed(self.request.object, token);
            disturbances.forced(self.id.0, (self.asked, at)).is_some()
                && history.events.iter().any(|event| event.act == removed)
        })
    }
}

/// All attempts, in the order of their requests.
pub fn spans(history: &History) -> Vec<Span> {
    let mut spans: BTreeMap<(Client, Op), Span> = BTreeMap::new();
    let mut order = Vec::new();
    for event in &history.events {
        let at = event.at;
        if let Act::Fault(fault) = &event.act
            && matches!(fault.kind(), FaultKind::KillClient | FaultKind::RestartClients)
        {
            let killed = |span: &&mut Span| span.ending == Ending::Open && fault.hits(span.id.0);
            spans.values_mut().filter(killed).for_each(|span| span.end(at, Ending::Killed));
        }
        let Some(id) = event.act.op().map(|op| (event.client, op)) else { continue };
        if let Act::Ask(_, request) = event.act {
            let (granted, ending) = (None, Ending::Open);
            spans.insert(id, Span { id, request, asked: at, granted, held_until: at, over: history.end(), ending });
            order.push(id);
            continue;
        }
        if let Some(span) = spans.get_mut(&id) {
            span.apply(at, &event.act);
        }
    }
    order.into_iter().filter_map(|id| spans.remove(&id)).collect()
}

impl Span {
    fn apply(&mut self, at: u64, act: &Act) {
        match act {
            Act::Granted(_, token) => {
                self.granted = Some((at, *token));
                self.held_until = at;
            }
            Act::Held(_) => self.held_until = at,
            Act::Refused(_) | Act::Failed(..) | Act::Cancelled(_) => self.end(at, Ending::NotGranted),
            Act::Lost(_, why) => self.end(at, Ending::Lost(why.clone())),
            Act::Leave(_) => self.end(at, Ending::Released(None)),
            Act::Left(_, held) => self.ending = Ending::Released(*held),
            _ => {}
        }
    }

    fn end(&mut self, at: u64, ending: Ending) {
        (self.over, self.ending) = (at, ending);
    }
}

/// The times in which faults or stalls were active.
#[derive(Clone, Debug)]
pub struct Disturbances {
    /// Start, end and fault of each disturbance. A stall has no fault and affects every client.
    periods: Vec<(u64, u64, Option<Fault>)>,
}

impl Disturbances {
    /// Collects the faults and stalls of a history.
    pub fn of(history: &History) -> Self {
        let mut periods = Vec::new();
        let mut open: Vec<(u64, Fault)> = Vec::new();
        for event in &history.events {
            match &event.act {
                Act::Fault(fault) | Act::Healed(fault) if fault.kind().must_not_disturb() => {}
                Act::Fault(fault) => open.push((event.at, fault.clone())),
                Act::Healed(fault) => {
                    if let Some(index) = open.iter().position(|(_, other)| other == fault) {
                        let (since, fault) = open.swap_remove(index);
                        periods.push((since, event.at, Some(fault)));
                    }
                }
                Act::Stalled(nanos) => periods.push((event.at.saturating_sub(*nanos), event.at, None)),
                _ => {}
            }
        }
        periods.extend(open.into_iter().map(|(since, fault)| (since, history.end(), Some(fault))));
        Self { periods }
    }

    /// Whether no disturbance of any client was active in the window, or during `slack` before it.
    pub fn all_through(&self, (from, to): (u64, u64), slack: Duration) -> bool {
        let from = from.saturating_sub(nanos(slack));
        !self.periods.iter().any(|(since, until, _)| *since <= to && *until >= from)
    }

    /// Whether this client may have been stopped or disconnected in the window.
    pub fn disturbed(&self, client: Client, (from, to): (u64, u64)) -> bool {
        self.of_client(client).any(|(since, until)| since <= to && until >= from)
    }

    /// Whether the process of this client may have been stopped at some time in the window.
    pub fn stopped(&self, client: Client, (from, to): (u64, u64)) -> bool {
        self.periods.iter().any(|(since, until, fault)| {
            let stops = match fault {
                None => true,
                Some(fault) => stops_processes(fault) && fault.hits(client),
            };
            stops && *since <= to && *until >= from
        })
    }

    /// The last time up to `to` at which a disturbance of this client was active.
    pub fn since(&self, client: Client, to: u64) -> u64 {
        let before = self.of_client(client).filter(|(since, _)| *since <= to);
        before.map(|(_, until)| until.min(to)).max().unwrap_or(0)
    }

    /// The last time up to `to` at which a fault hit this client alone. A frozen client whose session does not expire
    /// blocks others until the end of the fault, so that end counts.
    pub fn last_hit(&self, client: Client, to: u64, expires: bool) -> u64 {
        let hits = self.periods.iter().filter_map(|(since, until, fault)| {
            let fault = fault.as_ref().filter(|fault| fault.victims().is_some() && fault.hits(client))?;
            let freezes = stops_processes(fault) && !expires;
            Some(if freezes { *until } else { *since })
        });
        hits.filter(|at| *at <= to).max().unwrap_or(0)
    }

    /// The first time in the window at which the backend ended a session of this client, removed one of its entries or
    /// lost its data.
    pub fn forced(&self, client: Client, (from, to): (u64, u64)) -> Option<u64> {
        let forced = self.periods.iter().filter_map(|(at, _, fault)| {
            let by_force = |fault: &&Fault| {
                matches!(fault.kind(), FaultKind::Expire | FaultKind::Remove) || fault.kind().begins_a_history()
            };
            fault.as_ref().filter(by_force).filter(|fault| fault.hits(client)).map(|_| *at)
        });
        forced.filter(|at| (from..=to).contains(at)).min()
    }

    /// Whether no disturbance of this client was active in the window, except removals of its entries.
    pub fn undisturbed(&self, client: Client, (from, to): (u64, u64)) -> bool {
        !self.periods.iter().any(|(since, until, fault)| {
            let counts = fault.as_ref().is_none_or(|fault| fault.kind() != FaultKind::Remove && fault.hits(client));
            counts && *since <= to && *until >= from
        })
    }

    fn of_client(&self, client: Client) -> impl Iterator<Item = (u64, u64)> {
        let hits = move |fault: &Option<Fault>| fault.as_ref().is_none_or(|fault| fault.hits(client));
        self.periods.iter().filter(move |(_, _, fault)| hits(fault)).map(|(since, until, _)| (*since, *until))
    }
}

fn stops_processes(fault: &Fault) -> bool {
    matches!(fault.kind(), FaultKind::FreezeClient | FaultKind::Suspend)
}

/// A duration in the unit of events.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
