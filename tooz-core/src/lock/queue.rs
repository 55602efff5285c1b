//! The queue of a lock, semaphore or election as `inspect` shows it.

use std::time::SystemTime;

use super::owner::Owner;
use super::token::FencingToken;
use crate::driver::{Entry, Mode, Snapshot, admission};
use crate::time::from_unix_millis;
use crate::{Error, Name, Result};

/// The holders and the waiters of a lock, semaphore or election at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queue {
    /// The clients that hold it, in the order of arrival.
    pub holders: Vec<Participant>,
    /// The clients that wait, in the order of arrival, which is the order of the grants.
    pub waiters: Vec<Participant>,
}

/// A client that holds a lock, permit or leadership, or waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// The member id of the client's coordinator.
    pub member: Name,
    /// The fencing token of the grant. For a waiter, the token that its grant will have.
    pub token: FencingToken,
    /// Whether the client asked for shared mode.
    pub shared: bool,
    /// When the client asked, by its own clock.
    pub since: SystemTime,
}

impl Queue {
    pub(super) fn read(snapshot: &Snapshot) -> Result<Self> {
        let (holders, waiters) = admission::partition(&snapshot.entries);
        let read = |entries: Vec<&Entry>| entries.into_iter().map(Participant::read).collect::<Result<_>>();
        Ok(Self { holders: read(holders)?, waiters: read(waiters)? })
    }
}

impl Participant {
    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let in_context = |error: Error| error.with_context("entry", entry.seq);
        let Owner(member, since) = Owner::decode(&entry.value).map_err(in_context)?;
        Ok(Self {
            member: Name::new(member).map_err(in_context)?,
            token: entry.seq.into(),
            shared: entry.mode == Mode::Shared,
            since: from_unix_millis(since),
        })
    }
}
