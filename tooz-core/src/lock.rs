//! Locks: exclusive or shared, first come, first served.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::coordinator::{Coordinator, Target};
use crate::driver::{Entry, IfBlocked, Key, Mode, Seq, admission};
use crate::hold::{Hold, Request};
use crate::{Error, ErrorKind, Name, Result};

/// A number that rises with every grant of one lock, semaphore or election and never restarts.
///
/// Send it along with every write to the resource that the lock protects, and let the resource refuse a write whose
/// token is smaller than one it has seen: that also stops a holder that was paused beyond its deadline between the
/// check and the write. (Kleppmann, "How to do distributed locking", 2016.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

impl From<Seq> for FencingToken {
    fn from(seq: Seq) -> Self {
        Self(seq.0)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lock that may be held by many clients in shared mode, or by one in exclusive mode.
///
/// Granted strictly in the order of arrival. Not reentrant: a second acquisition waits for the first, also in one task.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://lock-doc").await?;
/// let lock = coordinator.lock("nightly");
/// let guard = lock.acquire().await?;
/// assert!(lock.try_acquire().await?.is_none());
/// guard.release().await?;
///
/// let (first, second) = (lock.shared().acquire().await?, lock.shared().acquire().await?);
/// assert!(first.fencing_token() < second.fencing_token());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    target: Target,
    mode: Mode,
}

impl Lock {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, mode: Mode::Exclusive }
    }

    /// The same lock in shared mode: any number of holders, while nobody holds or awaits it exclusively before them.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { target: self.target.clone(), mode: Mode::Shared }
    }

    /// Waits for the lock as long as it takes.
    ///
    /// Cancel safe: a dropped future loses its place in line and leaves nothing behind.
    ///
    /// # Errors
    /// `SessionLost` if the session is lost meanwhile, `NotHeld` if somebody removed us from the line, `Unavailable` if
    /// the backend cannot be reached for the timeout, `InvalidName`.
    pub async fn acquire(&self) -> Result<Guard> {
        self.target.run("acquire", wait(&self.target, self.mode, NonZeroU32::MIN)).await
    }

    /// Takes the lock if it is free at this moment, else returns `None` and leaves nothing behind.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.target.run("try_acquire", enter(&self.target, self.mode, NonZeroU32::MIN, IfBlocked::Withdraw)).await
    }

    /// Waits for the lock at most for `limit`.
    ///
    /// # Errors
    /// `Timeout` if it was not granted in time, else as [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, limit: Duration) -> Result<Guard> {
        within(limit, &self.target, self.acquire()).await
    }

    /// Who holds the lock and who waits for it, in the order of arrival.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn inspect(&self) -> Result<Queue> {
        self.target.run("inspect", inspect(&self.target)).await
    }

    /// Takes the lock away from all who hold it and returns them. They are told, but may learn of it late: only
    /// [fencing](FencingToken) makes this safe. Those who wait keep their places.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`.
    pub async fn break_lock(&self) -> Result<Vec<Participant>> {
        self.target.run("break_lock", evict_holders(&self.target)).await
    }
}

/// A lock or permit that is held. Dropping it releases it in the background.
///
/// It is held until it is released, or [lost](Guard::lost): the backend says so, somebody breaks the lock, or no renewal
/// of the session has succeeded for the TTL less a tenth. The loss is told before the backend can grant anyone else,
/// except after [`break_lock`](Lock::break_lock).
#[derive(Debug)]
#[must_use = "dropping a guard releases what it holds"]
pub struct Guard {
    pub(crate) hold: Hold,
}

impl Guard {
    /// Greater than the token of every earlier grant.
    pub fn fencing_token(&self) -> FencingToken {
        self.hold.ticket().seq.into()
    }

    /// Whether it may be relied on at this moment. Looks at the clock; asks nobody.
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// For how long it may be relied on if no further renewal succeeds; zero if it is lost, `None` if time does not
    /// matter to this backend.
    pub fn remaining(&self) -> Option<Duration> {
        self.hold.remaining()
    }

    /// Waits until it is lost, and returns why: `SessionLost` or `NotHeld`. Cancel safe.
    pub async fn lost(&self) -> Error {
        self.hold.lost().await
    }

    /// Runs `work` and returns its result. When the guard is lost first, `work` is dropped and the loss is the error.
    ///
    /// # Errors
    /// The error of `work`, or the loss (see [`lost`](Self::lost)) converted into the same type.
    pub async fn run<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.hold.run(work).await.unwrap_or_else(|error| Err(error.with_operation("run").into()))
    }

    /// Asks the backend whether the entry still stands: one request.
    ///
    /// # Errors
    /// `NotHeld`, `SessionLost`: it is lost, and [`lost`](Self::lost) resolves. `Unavailable`: nobody knows.
    pub async fn verify(&self) -> Result<()> {
        self.hold.verify().await.map_err(|error| error.with_operation("verify"))
    }

    /// Releases, and says whether it was ours until then.
    ///
    /// Cancel safe: dropped half-way, the release goes on in the background.
    ///
    /// # Errors
    /// `NotHeld` or `SessionLost`: it had been lost before, so the work may have overlapped with that of another holder.
    /// `Unavailable`: the backend could not be told yet; it is repeated in the background.
    pub async fn release(self) -> Result<()> {
        self.hold.release().await.map_err(|error| error.with_operation("release"))
    }

    /// The coordinator that it was acquired with.
    pub fn coordinator(&self) -> &Coordinator {
        self.hold.coordinator()
    }

    /// The name of the lock or semaphore.
    pub fn name(&self) -> &Name {
        &self.hold.roster().name
    }
}

/// Who holds and who waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queue {
    /// Those who hold it, in the order of arrival.
    pub holders: Vec<Participant>,
    /// Those who wait, in the order in which they will be granted.
    pub waiters: Vec<Participant>,
}

/// Somebody who holds or waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// The member id of the coordinator.
    pub member: Name,
    /// The fencing token of the grant, or of the grant to come.
    pub token: FencingToken,
    /// Whether it asked for shared mode.
    pub shared: bool,
    /// When it asked, by its own clock.
    pub since: SystemTime,
}

/// What an entry of a lock, semaphore or election tells others.
#[derive(Debug, Serialize, Deserialize)]
struct Owner(#[serde(with = "bytes")] Vec<u8>, u64);

mod bytes {
    //! Member ids as MessagePack `bin`.
    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

pub(crate) fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

impl Participant {
    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let corrupt = |cause: Error| cause.with_context("entry", entry.seq);
        let Owner(member, since) = rmp_serde::from_slice(&entry.value).map_err(|error| {
            corrupt(Error::new(ErrorKind::Corrupt, "the entry's owner cannot be read").with_source(error))
        })?;
        Ok(Self {
            member: Name::new(member).map_err(corrupt)?,
            token: entry.seq.into(),
            shared: entry.mode == Mode::Shared,
            since: UNIX_EPOCH + Duration::from_millis(since),
        })
    }
}

pub(crate) async fn enter(
    target: &Target,
    mode: Mode,
    limit: NonZeroU32,
    if_blocked: IfBlocked,
) -> Result<Option<Guard>> {
    let (coordinator, roster) = (&target.coordinator, target.roster()?);
    let owner = Owner(coordinator.member().as_bytes().to_vec(), now_ms());
    let value = rmp_serde::to_vec(&owner)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "failed to encode the owner").with_source(error))?;
    let request = Request { key: Key::Nonce, mode, limit, if_blocked, needs_declared: false, value: &value };
    let live = coordinator.live().await?;
    let hold = Hold::enter(coordinator, live, roster, request).await?;
    Ok(hold.map(|hold| Guard { hold }))
}

/// Enters and waits for the turn.
pub(crate) async fn wait(target: &Target, mode: Mode, limit: NonZeroU32) -> Result<Guard> {
    let guard = enter(target, mode, limit, IfBlocked::Wait).await?;
    guard.ok_or_else(|| Error::new(ErrorKind::Unexpected, "the driver withdrew an entry that was to wait"))
}

pub(crate) async fn within<T>(limit: Duration, target: &Target, work: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let late = async { Err(Error::new(ErrorKind::Timeout, format!("it was not granted within {limit:?}"))) };
            target.run("acquire_timeout", late).await
        }
    }
}

pub(crate) async fn inspect(target: &Target) -> Result<Queue> {
    let roster = target.roster()?;
    let live = target.coordinator.live().await?;
    let snapshot = live.retry(Some(target.coordinator.timeout()), || live.session.snapshot(roster, None)).await?;
    let (holders, waiters) = admission::partition(&snapshot.entries);
    let read = |entries: Vec<&Entry>| entries.into_iter().map(Participant::read).collect::<Result<_>>();
    Ok(Queue { holders: read(holders)?, waiters: read(waiters)? })
}

pub(crate) async fn evict_holders(target: &Target) -> Result<Vec<Participant>> {
    let roster = target.roster()?;
    let live = target.coordinator.live().await?;
    let mut evicted = Vec::new();
    for holder in inspect(target).await?.holders {
        let seq = Seq(holder.token.0);
        let mut attempts = 0;
        let evict = || {
            attempts += 1;
            live.session.evict(roster, seq)
        };
        // A repeated request that finds nothing follows one whose reply was lost.
        if live.retry(Some(target.coordinator.timeout()), evict).await? || attempts > 1 {
            evicted.push(holder);
        }
    }
    Ok(evicted)
}
