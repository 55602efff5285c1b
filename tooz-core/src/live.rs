//! A session while it lives: its deadline, the entries that it holds, and the reaper of those that nobody wants any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::driver::{Nonce, Roster, Session, Ticket};
use crate::view::View;
use crate::{Error, ErrorKind, Result};

/// How many releases of dropped guards are under way at once.
const REAPER_CONCURRENCY: usize = 32;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One session of the backend, as the objects that hang on it see it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) session: Arc<dyn Session>,
    /// Where the tasks of the session run.
    pub(crate) runtime: Handle,
    opened: Instant,
    /// Nanoseconds after `opened`; `u64::MAX` if liveness does not depend on time.
    deadline: AtomicU64,
    lost: CancellationToken,
    cause: OnceLock<Error>,
    holds: Mutex<HashMap<Nonce, CancellationToken>>,
    views: Mutex<HashMap<Arc<Roster>, Weak<View>>>,
    reaper: mpsc::UnboundedSender<Job>,
}

/// An entry that nobody wants any more.
#[derive(Debug)]
pub(crate) enum Job {
    Leave(Arc<Roster>, Ticket),
    Withdraw(Arc<Roster>, Nonce),
}

impl Live {
    /// Takes over a session whose opening was requested at `sent`, and starts its reaper.
    pub(crate) fn start(session: Box<dyn Session>, sent: Instant) -> Arc<Self> {
        let session: Arc<dyn Session> = session.into();
        let (reaper, jobs) = mpsc::unbounded_channel();
        let no_deadline_yet = if session.ttl().is_some() { 0 } else { u64::MAX };
        let live = Arc::new(Self {
            session: session.clone(),
            runtime: Handle::current(),
            opened: sent,
            deadline: AtomicU64::new(no_deadline_yet),
            lost: CancellationToken::new(),
            cause: OnceLock::new(),
            holds: Mutex::default(),
            views: Mutex::default(),
            reaper,
        });
        live.renewed(sent);
        tokio::spawn(reap(session, jobs, live.lost.clone()));
        live
    }

    /// Moves the deadline: the renewal sent at `sent` has succeeded. The margin is a tenth of the TTL; it covers the
    /// drift between our clock and the server's and the time that it takes us to notice.
    pub(crate) fn renewed(&self, sent: Instant) {
        if let Some(ttl) = self.session.ttl() {
            let deadline = sent + ttl - ttl / 10;
            let nanos = deadline.saturating_duration_since(self.opened).as_nanos();
            self.deadline.fetch_max(u64::try_from(nanos).unwrap_or(u64::MAX - 1), Ordering::SeqCst);
        }
    }

    /// When everything held must be given up unless a renewal succeeds before; `None` if time does not matter.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Ordering::SeqCst) {
            u64::MAX => None,
            nanos => Some(self.opened + Duration::from_nanos(nanos)),
        }
    }

    /// Whether what the session holds may be relied on at this moment. Compares the clock; waits for nothing.
    pub(crate) fn is_alive(&self) -> bool {
        !self.lost.is_cancelled() && self.deadline().is_none_or(|deadline| Instant::now() < deadline)
    }

    /// Ends the session as seen from here; the first cause stays.
    pub(crate) fn lose(&self, cause: Error) {
        let _ = self.cause.set(cause);
        self.lost.cancel();
    }

    /// Why the session is over. Meaningful once it is.
    pub(crate) fn cause(&self) -> Error {
        match self.cause.get() {
            Some(cause) => cause.clone(),
            None => deadline_passed(),
        }
    }

    /// Waits for the end of the session: the backend's word or the deadline, whichever is first. The deadline has a
    /// timer here, so it does not depend on the task that renews.
    pub(crate) async fn lost(&self) -> Error {
        loop {
            let deadline = self.deadline();
            let passed = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return self.cause(),
                () = passed => {}
            }
            if !self.is_alive() {
                self.lose(deadline_passed());
            }
        }
    }

    /// Makes a token that fires when somebody else removes the entry with this nonce.
    pub(crate) fn hold(&self, nonce: Nonce) -> CancellationToken {
        let token = CancellationToken::new();
        self.holds().insert(nonce, token.clone());
        token
    }

    pub(crate) fn forget(&self, nonce: Nonce) {
        self.holds().remove(&nonce);
    }

    /// Tells the holder of an entry that somebody else has removed it. Returns whether there is one.
    pub(crate) fn evicted(&self, nonce: Nonce) -> bool {
        let hold = self.holds().remove(&nonce);
        hold.inspect(CancellationToken::cancel).is_some()
    }

    /// The view of `roster` that all share who watch it through this session.
    pub(crate) fn view(self: &Arc<Self>, roster: &Arc<Roster>) -> Arc<View> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = views.get(roster).and_then(View::revive) {
            return view;
        }
        views.retain(|_, view| view.strong_count() > 0);
        let view = View::start(self.clone(), roster.clone());
        views.insert(roster.clone(), Arc::downgrade(&view));
        view
    }

    /// Hands an entry to the reaper, which removes it in the background.
    pub(crate) fn reap(&self, job: Job) {
        // Without a reaper the session is over, and its entries with it.
        let _ = self.reaper.send(job);
    }

    /// Runs `operation` until it succeeds, fails for good, the session is lost, or `patience` has passed.
    pub(crate) async fn retry<T, F>(&self, patience: Option<Duration>, mut operation: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut started = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = operation() => outcome,
                // The coordinator's task watches the deadline, so a request needs no timer of its own.
                () = self.lost.cancelled() => return Err(self.cause()),
            };
            let error = match outcome {
                Err(error) if error.is_retryable() && self.is_alive() => error,
                Err(error) if error.is_retryable() => return Err(self.cause()),
                Err(error) => {
                    if error.is_session_lost() {
                        self.lose(error.clone());
                    }
                    return Err(error);
                }
                done => return done,
            };
            let now = Instant::now();
            if patience.is_some_and(|patience| now >= *started.get_or_insert(now) + patience) {
                return Err(error);
            }
            debug!(%error, ?pause, "the backend is not available; the request is repeated");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn holds(&self) -> std::sync::MutexGuard<'_, HashMap<Nonce, CancellationToken>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deadline_passed() -> Error {
    Error::new(ErrorKind::SessionLost, "no renewal of the session has succeeded before its deadline")
}

/// Removes what was handed in, until the session is lost or nobody can hand in any more.
async fn reap(session: Arc<dyn Session>, jobs: mpsc::UnboundedReceiver<Job>, lost: CancellationToken) {
    let jobs = futures_util::stream::unfold(jobs, |mut jobs| async { jobs.recv().await.map(|job| (job, jobs)) });
    let reaping = jobs.for_each_concurrent(REAPER_CONCURRENCY, |job| reap_one(&*session, job));
    tokio::select! { biased; () = lost.cancelled() => (), () = reaping => () }
}

async fn reap_one(session: &dyn Session, job: Job) {
    let mut pause = FIRST_PAUSE;
    loop {
        let outcome = match &job {
            Job::Leave(roster, ticket) => session.leave(roster, ticket).await.map(|_| ()),
            Job::Withdraw(roster, nonce) => session.withdraw(roster, *nonce).await,
        };
        match outcome {
            Err(error) if error.is_retryable() => sleep(pause).await,
            Err(error) if !error.is_session_lost() => {
                warn!(%error, ?job, "an entry that is not wanted any more could not be removed");
                return;
            }
            _ => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
