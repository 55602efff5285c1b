//! Fixtures of the trials: sessions that are renewed, short names for entries, and waits with generous limits.
//!
//! The functions that check something panic; the harness reports the panic as the failure of the trial.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tooz_core::driver::{
    Entry, IfBlocked, IfTaken, Key, Kind, Loss, Mode, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Standing,
    Ticket,
};
use tooz_core::{ErrorKind, Name, Result};

use crate::harness::{Renewing, joined};
use crate::{Context, Failure};

/// The limit for something that must happen. A correct driver needs much less on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a trial watches for something that must not happen. A correct driver never fails here.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);

/// The TTL of sessions that a trial renews. It is longer than any trial, so that no slow machine ends them.
const LONG_TTL: Duration = Duration::from_secs(30);

/// The TTL of sessions that must expire: the shortest that every backend grants.
pub(crate) const SHORT_TTL: Duration = Duration::from_secs(3);

/// How often sessions are renewed. Some backends report evictions in the reply to a renewal.
const RENEWAL: Duration = Duration::from_millis(500);

/// A session that is renewed until the client is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    session: Arc<dyn Session>,
    _renewing: Option<Renewing>,
}

impl Client {
    /// Opens a session in the namespace of the trial and keeps it alive.
    pub(crate) async fn open(context: &Context, member: &str) -> Result<Self, Failure> {
        Self::open_in(context, context.namespace(), member).await
    }

    /// Opens a session in another namespace and keeps it alive.
    pub(crate) async fn open_in(context: &Context, namespace: &str, member: &str) -> Result<Self, Failure> {
        Self::renewed(context, &options(namespace, member, LONG_TTL)).await
    }

    /// Opens a session whose requests have this timeout, and keeps it alive.
    pub(crate) async fn open_for(context: &Context, timeout: Duration) -> Result<Self, Failure> {
        let mut options = options(context.namespace(), "member", LONG_TTL);
        options.timeout = timeout;
        Self::renewed(context, &options).await
    }

    async fn renewed(context: &Context, options: &SessionOptions) -> Result<Self, Failure> {
        let session: Arc<dyn Session> = context.driver()?.open(options).await?.into();
        let renewing = Renewing::start(&session, RENEWAL);
        Ok(Self { session, _renewing: Some(renewing) })
    }

    /// Opens a session that is not renewed.
    pub(crate) async fn open_without_renewal(context: &Context, member: &str) -> Result<Self, Failure> {
        let session = context.driver()?.open(&options(context.namespace(), member, SHORT_TTL)).await?;
        Ok(Self { session: session.into(), _renewing: None })
    }

    /// The session itself, to be moved into a task.
    pub(crate) fn session(&self) -> Arc<dyn Session> {
        self.session.clone()
    }

    /// Enters in exclusive mode with limit 1. The entry must be admitted.
    pub(crate) async fn hold(&self, roster: &Roster) -> Result<Ticket> {
        Ok(admitted(self.enter(roster, exclusive()).await?))
    }

    /// Enters in exclusive mode with limit 1. The entry must wait.
    pub(crate) async fn queue(&self, roster: &Roster) -> Result<Ticket> {
        Ok(waiting(self.enter(roster, exclusive()).await?).0)
    }

    /// The present entries.
    pub(crate) async fn entries(&self, roster: &Roster) -> Result<Vec<Entry>> {
        Ok(self.snapshot(roster, None).await?.entries)
    }

    /// The seqs of the present entries.
    pub(crate) async fn seqs(&self, roster: &Roster) -> Result<Vec<Seq>> {
        Ok(self.entries(roster).await?.iter().map(|entry| entry.seq).collect())
    }

    /// Waits for the turn of `ticket` in the background.
    pub(crate) fn wait_in_background(&self, roster: &Roster, ticket: Ticket) -> tokio::task::JoinHandle<Result<()>> {
        let (session, roster) = (self.session(), roster.clone());
        tokio::spawn(async move { session.await_turn(&roster, &ticket).await })
    }

    /// Waits for the report that another client removed the entry of `ticket`.
    pub(crate) async fn is_notified_of(&self, ticket: Ticket) {
        match soon("the report of the removed entry", self.lost()).await {
            Loss::Entry(nonce) if nonce == ticket.nonce => {}
            other => panic!(
                "expected: the driver reports the removal of the entry with nonce {:?}\nactual: it reports {other:?}",
                ticket.nonce
            ),
        }
    }
}

impl Deref for Client {
    type Target = dyn Session;

    fn deref(&self) -> &Self::Target {
        &*self.session
    }
}

fn options(namespace: &str, member: &str, ttl: Duration) -> SessionOptions {
    let member = Name::new(member).expect("trials use short names");
    SessionOptions::new(namespace, member, ttl, PATIENCE)
}

/// The roster of a kind and name.
pub(crate) fn roster(kind: Kind, name: impl AsRef<[u8]>) -> Roster {
    Roster { kind, name: Name::new(name).expect("trials use valid names") }
}

/// The roster that most trials use.
pub(crate) fn lock() -> Roster {
    roster(Kind::Lock, "lock")
}

/// The group that most trials use.
pub(crate) fn group() -> Roster {
    roster(Kind::Group, "group")
}

/// A number that is not zero.
pub(crate) fn limit(limit: u32) -> NonZeroU32 {
    NonZeroU32::new(limit).expect("trials use limits above zero")
}

/// A new entry with a random nonce, which waits if it is blocked.
pub(crate) fn entry(mode: Mode, limit_: u32) -> NewEntry<'static> {
    NewEntry {
        nonce: Nonce::random(),
        key: Key::Nonce,
        mode,
        limit: limit(limit_),
        if_blocked: IfBlocked::Wait,
        needs_declared: false,
        value: b"",
    }
}

/// An entry like that of a mutex.
pub(crate) fn exclusive() -> NewEntry<'static> {
    entry(Mode::Exclusive, 1)
}

/// An entry like that of a reader.
pub(crate) fn shared() -> NewEntry<'static> {
    entry(Mode::Shared, 1)
}

/// An entry like that of a group member.
pub(crate) fn member(id: &[u8], if_taken: IfTaken) -> NewEntry<'_> {
    NewEntry { key: Key::Unique(id, if_taken), ..entry(Mode::Member, 1) }
}

/// The ticket of an entry that must be admitted.
#[track_caller]
pub(crate) fn admitted(standing: Standing) -> Ticket {
    match standing {
        Standing::Admitted(ticket) => ticket,
        other => panic!("expected: the driver admits the entry\nactual: {other:?}\nat {}", Location::caller()),
    }
}

/// The ticket of an entry that must wait, and the entry that blocks it.
#[track_caller]
pub(crate) fn waiting(standing: Standing) -> (Ticket, Seq) {
    match standing {
        Standing::Waiting { ticket, blocked_by } => (ticket, blocked_by),
        other => panic!("expected: the driver lets the entry wait\nactual: {other:?}\nat {}", Location::caller()),
    }
}

/// Checks that the driver fails with an error of this kind.
#[track_caller]
pub(crate) fn fails<T: Debug>(outcome: Result<T>, kind: ErrorKind) {
    match outcome {
        Err(error) if error.kind() == kind => {}
        Ok(value) => {
            panic!("expected: an error of kind {kind:?}\nactual: success with {value:?}\nat {}", Location::caller())
        }
        Err(error) => panic!(
            "expected: an error of kind {kind:?}\nactual: an error of kind {:?}: {error}\nat {}",
            error.kind(),
            Location::caller()
        ),
    }
}

/// The output of a future that must complete soon.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("expected within {PATIENCE:?}: {what}\nactual: it did not happen"),
    }
}

/// The output of a task that must end soon. A panic of the task is passed on.
pub(crate) async fn ends<T>(what: &str, task: tokio::task::JoinHandle<T>) -> T {
    soon(what, joined(task)).await
}

/// Checks that a future does not complete for a while.
pub(crate) async fn not_now<F: Future>(what: &str, future: F)
where
    F::Output: Debug,
{
    if let Ok(output) = timeout(A_WHILE, future).await {
        panic!("expected: not {what}\nactual: it happened and returned {output:?}");
    }
}

/// Waits until `holds` returns true.
pub(crate) async fn eventually<F: Future<Output = Result<bool>>>(
    what: &str,
    within: Duration,
    mut holds: impl FnMut() -> F,
) -> Result<()> {
    let waiting = async {
        while !holds().await? {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    match timeout(within, waiting).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("expected within {within:?}: {what}\nactual: it did not become true"),
    }
}

/// Polls a future at most `times` times, each time that it can make progress, and then drops it. Returns its output if
/// it completed.
pub(crate) async fn poll_then_drop<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|task: &mut TaskContext<'_>| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(task) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The wake-up after the last poll is not awaited.
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
