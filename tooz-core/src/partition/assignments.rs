//! The keys of a member as events: a key is assigned, and later revoked, with time to finish its work.
//!
//! - Each key has a lock. A member that the ring makes responsible for a key waits for that lock, and is assigned the key
//!   with the guard. So a key has at most one owner, even while the members disagree about the ring.
//! - When the ring gives the key to another member, the owner is notified. It keeps the lock until it drops the
//!   assignment, at most for the time to drain. Then the lock is released, which is what the next owner waits for.
//! - One task runs this for all keys of the member.
//!
//! Keys that do not move are not interrupted. This is the incremental cooperative rebalancing of Kafka's consumers
//! (KIP-429); the locks take the place of its second round.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::{join, join_all};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::partitioner::{Division, Partitioner};
use crate::coordinator::Coordinator;
use crate::group::Group;
use crate::lock::{FencingToken, Guard};
use crate::session::retry::Backoff;
use crate::{Error, Name, Result};

impl Group {
    /// Divides `keys` among the members, and reports which of them this client owns, as events.
    ///
    /// All members must call this with the same keys. The client owns keys only while it is a member, so
    /// [join](Self::join) the group, too. After `drain`, a key that was revoked is taken from an owner that still has it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tooz_core::Error> {
    /// # let coordinator = tooz_core::connect("memory://assignments-doc").await?;
    /// use std::time::Duration;
    /// use tooz_core::AssignmentEvent;
    ///
    /// let group = coordinator.group("workers");
    /// group.create_if_missing().await?;
    /// let _membership = group.join(()).await?;
    /// let shards = (0..4).map(|shard| format!("shard-{shard}"));
    /// let mut assignments = group.assignments(shards, Duration::from_secs(30)).await?;
    /// for _ in 0..4 {
    ///     match assignments.next().await.transpose()? {
    ///         Some(AssignmentEvent::Assigned(assignment)) => drop(tokio::spawn(async move {
    ///             println!("working on {} with token {}", assignment.key(), assignment.fencing_token());
    ///             assignment.revoked().await; // finish here; dropping the assignment hands the key over
    ///         })),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// assignments.close().await; // hands all keys over
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidName` if a key is not a valid name; else as [`members`](Self::members).
    pub async fn assignments<N: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = N>,
        drain: Duration,
    ) -> Result<Assignments> {
        let keys = keys.into_iter().map(Name::new).collect::<Result<BTreeSet<_>>>();
        let keys = keys.map_err(|error| error.with_operation("assignments").with_context("used as", "key"))?;
        Ok(Assignments::start(self.name()?.clone(), self.partitioner().await?, keys, drain))
    }
}

/// A change in the keys that this client owns; see [`Group::assignments`].
#[derive(Debug)]
#[non_exhaustive]
pub enum AssignmentEvent {
    /// The client owns this key until it drops the assignment.
    Assigned(Assignment),
    /// The key goes to another member. Finish its work and drop the [`Assignment`]; [`Assignment::revoked`] says the same.
    Revoked(Name),
    /// The assignment of the key was lost, for instance with the session. Its work must stop at once.
    Lost(Name, Error),
}

/// The assignments of this client, as events; see [`Group::assignments`]. Dropping it revokes all of them.
#[derive(Debug)]
#[must_use = "events are received with `next`"]
pub struct Assignments {
    events: mpsc::UnboundedReceiver<Result<AssignmentEvent>>,
    closing: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Assignments {
    fn start(group: Name, partitioner: Partitioner, keys: BTreeSet<Name>, drain: Duration) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let closing = CancellationToken::new();
        let assigner = Assigner { group, partitioner, drain, closing: closing.clone(), events: sender };
        let task = tokio::spawn(async move {
            let keeping = join_all(keys.into_iter().map(|key| assigner.keep(key)));
            join(keeping, assigner.closing.run_until_cancelled(assigner.report_errors())).await;
        });
        Self { events, closing, task: Some(task) }
    }

    /// Waits for the next event. Returns `None` once the coordinator is closed and all is reported. Cancel safe.
    ///
    /// # Errors
    /// Why the group cannot be followed, once for each cause: `GroupNotCreated`, `AuthFailed`, … Meanwhile no key belongs
    /// to any member. `Closed` once the coordinator is closed.
    pub async fn next(&mut self) -> Option<Result<AssignmentEvent>> {
        poll_fn(|context| self.events.poll_recv(context)).await
    }

    /// Revokes all assignments, and returns when they were dropped or the time to drain has passed.
    pub async fn close(mut self) {
        self.closing.cancel();
        self.events.close();
        // An assignment that was not received yet must not keep its key.
        while self.events.recv().await.is_some() {}
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Assignments {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Stream for Assignments {
    type Item = Result<AssignmentEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context)
    }
}

/// A key that this client owns. Dropping it hands the key over.
///
/// If the client is still responsible for the key, it is assigned the key again after a pause.
#[derive(Debug)]
#[must_use = "dropping an assignment hands its key over"]
pub struct Assignment {
    owned: Arc<OwnedKey>,
}

/// A key with its lock, as the assignment and the task share it.
#[derive(Debug)]
struct OwnedKey {
    key: Name,
    guard: Guard,
    revoked: CancellationToken,
    dropped: CancellationToken,
}

impl Assignment {
    /// The key.
    pub fn key(&self) -> &Name {
        &self.owned.key
    }

    /// The fencing token. It is greater than that of every earlier owner of the key.
    pub fn fencing_token(&self) -> FencingToken {
        self.owned.guard.fencing_token()
    }

    /// Whether you may rely on the assignment at this moment. Sends nothing.
    pub fn is_held(&self) -> bool {
        self.owned.guard.is_held()
    }

    /// Waits until the key goes to another member. The assignment stays held until you drop it, at most for the time to
    /// drain. Cancel safe.
    pub async fn revoked(&self) {
        self.owned.revoked.cancelled().await;
    }

    /// Waits until the assignment is lost and returns the cause. Cancel safe.
    pub async fn lost(&self) -> Error {
        self.owned.guard.lost().await
    }

    /// Runs `work` and returns its result. If the assignment is lost first, drops `work` and returns the loss.
    ///
    /// # Errors
    /// As [`Guard::run`].
    pub async fn run<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.owned.guard.run(work).await
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        self.owned.dropped.cancel();
    }
}

/// Assigns and revokes the keys, in one task.
#[derive(Debug)]
struct Assigner {
    group: Name,
    partitioner: Partitioner,
    drain: Duration,
    closing: CancellationToken,
    events: mpsc::UnboundedSender<Result<AssignmentEvent>>,
}

impl Assigner {
    /// Owns the key whenever it belongs to this client, until there is nothing more to follow.
    async fn keep(&self, key: Name) {
        let lock = self.coordinator().lock(lock_name(&self.group, &key));
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while self.until_mine(&key).await {
            let acquired = tokio::select! {
                biased;
                () = self.until_not_mine(&key) => continue,
                acquired = lock.acquire() => acquired,
            };
            match acquired {
                Ok(guard) => {
                    if !self.serve(&key, guard).await {
                        backoff.pause().await;
                    }
                }
                Err(error) if error.may_pass() => {
                    warn!(group = %self.group, %key, %error, "failed to take over a key; trying again");
                    backoff.pause().await;
                }
                // Once for all keys, `report_errors` reports that the coordinator is closed.
                Err(error) if error.is_closed() => return,
                Err(error) => return self.send(Err(error)),
            }
        }
    }

    /// Assigns the key, and returns when its lock is released. Returns whether the key was revoked.
    async fn serve(&self, key: &Name, guard: Guard) -> bool {
        let (revoked, dropped) = Default::default();
        let owned = Arc::new(OwnedKey { key: key.clone(), guard, revoked, dropped });
        self.send(Ok(AssignmentEvent::Assigned(Assignment { owned: owned.clone() })));
        let is_revoked = tokio::select! {
            biased;
            cause = owned.guard.lost() => {
                self.send(Ok(AssignmentEvent::Lost(key.clone(), cause)));
                return false;
            }
            () = owned.dropped.cancelled() => false,
            () = self.until_not_mine(key) => true,
        };
        if is_revoked {
            owned.revoked.cancel();
            self.send(Ok(AssignmentEvent::Revoked(key.clone())));
            if timeout(self.drain, owned.dropped.cancelled()).await.is_err() {
                warn!(group = %self.group, %key, "took a revoked key from an owner that did not finish in time");
            }
        }
        if let Err(error) = owned.guard.release_shared().await {
            warn!(group = %self.group, %key, %error, "failed to release a key; it was lost, or its release continues");
        }
        is_revoked
    }

    /// Waits until the key belongs to this client; `false` if it never will.
    async fn until_mine(&self, key: &Name) -> bool {
        let mut division = self.partitioner.subscribe();
        let mine = self.closing.run_until_cancelled(division.wait_for(|division| self.is_mine(division, key))).await;
        mine.is_some_and(|mine| mine.is_ok())
    }

    /// Waits until the key does not belong to this client any more, or the assignments are closed.
    async fn until_not_mine(&self, key: &Name) {
        let mut division = self.partitioner.subscribe();
        let is_other = division.wait_for(|division| !self.is_mine(division, key));
        // The wait fails only when the partitioner has ended. Then the coordinator is closed, and the guard is lost.
        self.closing.run_until_cancelled(is_other).await;
    }

    fn is_mine(&self, division: &Division, key: &Name) -> bool {
        division.owner_of(key.as_bytes()) == Some(self.coordinator().member().as_bytes())
    }

    /// Reports each new reason why the group cannot be followed.
    async fn report_errors(&self) {
        let mut division: watch::Receiver<Division> = self.partitioner.subscribe();
        let mut last = None;
        loop {
            let error = division.borrow_and_update().error().cloned();
            let kind = error.as_ref().map(Error::kind);
            if let (true, Some(error)) = (kind != last, error) {
                self.send(Err(error));
            }
            last = kind;
            if division.changed().await.is_err() {
                return;
            }
        }
    }

    fn coordinator(&self) -> &Coordinator {
        self.partitioner.coordinator()
    }

    fn send(&self, event: Result<AssignmentEvent>) {
        // A receiver that is gone needs no events. An assignment that it would have received is dropped.
        let _ = self.events.send(event);
    }
}

/// The name of the lock of a key. The length shows where the name of the group ends, even if it contains colons.
fn lock_name(group: &Name, key: &Name) -> Vec<u8> {
    let (group, key) = (group.as_bytes(), key.as_bytes());
    [b"tooz.assignment:", group.len().to_string().as_bytes(), b":", group, b":", key].concat()
}
