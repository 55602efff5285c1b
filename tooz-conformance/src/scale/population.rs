//! Clients and entries in large numbers.

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;
use tooz_core::driver::{
    Entry, IfBlocked, IfTaken, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, SessionOptions, Standing, Ticket,
};
use tooz_core::{Coordinator, Group, GroupEvent, GroupWatch, Name};

use crate::harness::Renewing;
use crate::{Failure, Target};

/// How many requests of the preparation are under way at once.
const AT_ONCE: usize = 32;

/// The longest time that a client waits for an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// The TTL of sessions: no measurement takes longer, and few renewals fall into it.
const TTL: Duration = Duration::from_secs(60);

/// How long a request may take while very many events are on their way.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The name of the roster that a row uses.
pub(super) const NAME: &str = "scale";

/// Connects coordinators whose sessions outlive the measurement and are seldom renewed.
pub(super) async fn coordinators(target: &Target, role: &str, count: u64) -> Result<Vec<Coordinator>, Failure> {
    coordinators_with_ttl(target, role, count, TTL).await
}

/// Connects one of them.
pub(super) async fn coordinator(target: &Target, member: &str) -> Result<Coordinator, Failure> {
    Ok(target.builder(member).ttl(TTL).timeout(TIMEOUT).connect().await?)
}

/// Connects coordinators whose sessions have this TTL.
pub(super) async fn coordinators_with_ttl(
    target: &Target,
    role: &str,
    count: u64,
    ttl: Duration,
) -> Result<Vec<Coordinator>, Failure> {
    let connecting = (0..count).map(|index| {
        let builder = target.builder(&format!("{role}-{index}")).ttl(ttl).timeout(TIMEOUT);
        async move { Ok(builder.connect().await?) }
    });
    several_at_once(connecting.collect()).await
}

/// A session of the driver itself, for entries in large numbers.
pub(super) async fn session(target: &Target, member: &str) -> Result<RenewedSession, Failure> {
    let options = SessionOptions::new(target.namespace(), Name::new(member)?, TTL, TIMEOUT);
    Ok(RenewedSession::new(target.driver()?.open(&options).await?))
}

/// A session of a driver that is renewed until it is dropped. So it outlives a slow measurement even if the server granted a
/// short TTL.
#[derive(Debug)]
pub(super) struct RenewedSession {
    session: Arc<dyn Session>,
    _renewing: Renewing,
}

impl RenewedSession {
    fn new(session: Box<dyn Session>) -> Self {
        let session: Arc<dyn Session> = session.into();
        let renewing = Renewing::start(&session, session.ttl().unwrap_or(TTL) / 3);
        Self { session, _renewing: renewing }
    }
}

impl Deref for RenewedSession {
    type Target = dyn Session;

    fn deref(&self) -> &Self::Target {
        &*self.session
    }
}

/// Closes coordinators.
pub(super) async fn close(coordinators: Vec<Coordinator>) {
    stream::iter(coordinators)
        .for_each_concurrent(AT_ONCE, |coordinator| async move { coordinator.close().await })
        .await;
}

/// An entry of a coordinator, as a pattern for many entries of a driver's session.
#[derive(Debug)]
pub(crate) struct Pattern {
    roster: Roster,
    entry: Entry,
}

impl Pattern {
    /// The members of a group.
    pub(crate) async fn of_member(group: &Group, session: &dyn Session) -> Result<Self, Failure> {
        group.create_if_missing().await?;
        let membership = group.join(()).await?;
        let pattern = Self::of_first(session, Roster { kind: Kind::Group, name: group.name()?.clone() }).await;
        membership.leave().await?;
        pattern
    }

    /// The first entry of a roster.
    pub(super) async fn of_first(session: &dyn Session, roster: Roster) -> Result<Self, Failure> {
        let first = session.snapshot(&roster, None).await?.entries.into_iter().next();
        let entry = first.ok_or_else(|| Failure::new("the roster has no entry to copy"))?;
        Ok(Self { roster, entry })
    }

    /// Enters one entry for each number.
    pub(crate) async fn enter(&self, session: &dyn Session, ids: Range<u64>) -> Result<Vec<Ticket>, Failure> {
        several_at_once(ids.map(|id| self.enter_one(session, id)).collect()).await
    }

    async fn enter_one(&self, session: &dyn Session, id: u64) -> Result<Ticket, Failure> {
        let id = format!("member-{id:05}");
        let is_member = self.entry.mode == Mode::Member;
        let entry = NewEntry {
            nonce: Nonce::random(),
            key: if is_member { Key::Unique(id.as_bytes(), IfTaken::Refuse) } else { Key::Nonce },
            mode: self.entry.mode,
            limit: self.entry.limit,
            if_blocked: IfBlocked::Wait,
            needs_declared: is_member,
            value: &self.entry.value,
        };
        match session.enter(&self.roster, entry).await? {
            Standing::Admitted(ticket) | Standing::Waiting { ticket, .. } => Ok(ticket),
            other => Err(Failure::new(format!("an entry that may wait is {other:?}"))),
        }
    }

    /// Removes an entry.
    pub(super) async fn leave(&self, session: &dyn Session, ticket: &Ticket) -> Result<(), Failure> {
        match session.leave(&self.roster, ticket).await? {
            true => Ok(()),
            false => Err(Failure::new("the entry was gone before it left")),
        }
    }
}

/// The roster of a kind that a row uses.
pub(super) fn roster(kind: Kind) -> Result<Roster, Failure> {
    Ok(Roster { kind, name: Name::new(NAME)? })
}

/// Begins to watch the group in each coordinator, at once, and receives the members that are there.
pub(super) async fn watch(coordinators: &[Coordinator], members: u64) -> Result<Vec<GroupWatch>, Failure> {
    let watching = coordinators.iter().map(|coordinator| {
        let group = coordinator.group(NAME);
        async move {
            let mut watch = group.watch().await?;
            receive(&mut watch, members, 0).await?;
            Ok(watch)
        }
    });
    several_at_once(watching.collect()).await
}

/// The outputs of the futures, of which at most [`AT_ONCE`] run at a time.
async fn several_at_once<T>(work: Vec<impl Future<Output = Result<T, Failure>>>) -> Result<Vec<T>, Failure> {
    stream::iter(work).buffered(AT_ONCE).try_collect().await
}

/// Receives events until so many members have joined and left.
pub(super) async fn receive(watch: &mut GroupWatch, mut joined: u64, mut left: u64) -> Result<(), Failure> {
    while joined > 0 || left > 0 {
        let event = timeout(PATIENCE, watch.next()).await;
        match event.map_err(|_| Failure::new(format!("a watcher received no event for {PATIENCE:?}")))?? {
            GroupEvent::Joined(_) => joined = joined.checked_sub(1).ok_or_else(too_many)?,
            GroupEvent::Left(_) => left = left.checked_sub(1).ok_or_else(too_many)?,
            GroupEvent::Resync => {}
            other => return Err(Failure::new(format!("a watcher received {other:?}"))),
        }
    }
    Ok(())
}

fn too_many() -> Failure {
    Failure::new("a watcher received more events than there were changes")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::time::sleep;
    use tooz_core::{Registry, memory};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_outlives_its_ttl() -> Result<(), Failure> {
        let driver = Registry::with([memory::DRIVER]).driver(&"memory://population".parse()?)?;
        let options = SessionOptions::new("scale", Name::new("members")?, TTL, TIMEOUT);
        let session = RenewedSession::new(driver.open(&options).await?);
        let entry = Entry {
            seq: tooz_core::driver::Seq(0),
            nonce: Nonce::random(),
            key: None,
            mode: Mode::Exclusive,
            limit: NonZeroU32::MIN,
            value: Vec::new(),
        };
        let pattern = Pattern { roster: roster(Kind::Lock)?, entry };
        let ticket = pattern.enter_one(&*session, 0).await?;
        sleep(3 * TTL).await;
        pattern.leave(&*session, &ticket).await
    }
}
