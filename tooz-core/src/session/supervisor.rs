//! The background task of each coordinator: it renews the session, reports its loss, opens the next one and makes
//! memberships enter again.
//!
//! - It renews every third of the TTL. A renewal that hangs is given up after that time, so that another one fits in
//!   before the deadline.
//! - After a loss it opens a new session with growing pauses, for as long as it takes.
//! - When the runtime of the task is shut down, the session is lost, and every later call fails.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::errors::{coordinator_closed, renewal_timed_out, runtime_ended};
use super::live::LiveSession;
use super::process::OwnerProcess;
use super::rejoin::{Rejoin, rejoin};
use super::retry::Backoff;
use super::state::{SessionState, SessionStates};
use crate::driver::support::lock;
use crate::driver::{Driver, DriverInfo, Loss, SessionOptions};
use crate::time::{Moment, sleep_until};
use crate::{Error, ErrorKind, Result, telemetry};

/// How many changes of state a slow reader may be behind.
const STATES_KEPT: usize = 64;

/// How often in each renewal interval the task checks whether the host was suspended. Tokio's timers stop during a
/// suspend, so without these checks a loss would be noticed too late, by the length of the suspend. The interval is at
/// most a third of the TTL, so the tenth of the TTL between deadline and expiry contains at least two checks.
const SUSPEND_CHECKS: u32 = 8;

/// The sessions of one coordinator, one after the other. All clones of the coordinator and its task share this.
#[derive(Debug)]
pub(crate) struct Supervisor {
    process: OwnerProcess,
    driver: Arc<dyn Driver>,
    info: DriverInfo,
    options: SessionOptions,
    heartbeat: Option<Duration>,
    current: watch::Sender<CurrentSession>,
    state: watch::Sender<SessionState>,
    changes: broadcast::Sender<SessionState>,
    closing: CancellationToken,
    rejoining: Mutex<Vec<Weak<dyn Rejoin>>>,
}

/// The session that new operations use.
#[derive(Clone, Debug)]
enum CurrentSession {
    Open(Arc<LiveSession>),
    /// There is no session at the moment; the text says why the last one ended or could not be opened.
    Opening(String),
    /// There will be no further session; each call fails with this error.
    Ended(Error),
}

impl Supervisor {
    /// Opens the first session and starts the task in the current runtime.
    pub(crate) async fn start(
        driver: Arc<dyn Driver>,
        options: SessionOptions,
        heartbeat: Option<Duration>,
    ) -> Result<Arc<Self>> {
        let supervisor = Arc::new(Self {
            process: OwnerProcess::current(),
            info: driver.info(),
            driver,
            options,
            heartbeat,
            current: watch::Sender::new(CurrentSession::Opening(String::new())),
            state: watch::Sender::new(SessionState::Connected),
            changes: broadcast::Sender::new(STATES_KEPT),
            closing: CancellationToken::new(),
            rejoining: Mutex::default(),
        });
        let live = supervisor.open().await?;
        supervisor.current.send_replace(CurrentSession::Open(live.clone()));
        let end = EndOfTask(supervisor.clone());
        tokio::spawn(supervisor.process.run(async move { end.0.run(live).await }));
        Ok(supervisor)
    }

    pub(crate) fn info(&self) -> &DriverInfo {
        &self.info
    }

    pub(crate) fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Opens a further session of the same client, with a supervisor of its own.
    pub(crate) async fn start_other(&self, options: SessionOptions) -> Result<Arc<Self>> {
        let heartbeat = self.heartbeat.filter(|heartbeat| *heartbeat < options.ttl);
        Self::start(self.driver.clone(), options, heartbeat).await
    }

    /// The process that connected.
    pub(crate) fn process(&self) -> OwnerProcess {
        self.process
    }

    /// Returns the present session. While there is none, waits for the next one, at most for the request timeout.
    pub(crate) async fn live(&self) -> Result<Arc<LiveSession>> {
        if let CurrentSession::Open(live) = &*self.current.borrow()
            && live.is_alive()
        {
            return Ok(live.clone());
        }
        let mut current = self.current.subscribe();
        let usable = |current: &CurrentSession| match current {
            CurrentSession::Open(live) => live.is_alive(),
            CurrentSession::Opening(_) => false,
            CurrentSession::Ended(_) => true,
        };
        let found = timeout(self.options.timeout, current.wait_for(usable)).await;
        match found.map(|found| found.map(|current| current.clone())) {
            Ok(Ok(CurrentSession::Open(live))) => Ok(live),
            Ok(Ok(CurrentSession::Ended(error))) => Err(error),
            Ok(_) | Err(_) => Err(self.no_session()),
        }
    }

    /// The present state. A session whose deadline has passed is lost, even if the task has not yet noticed.
    pub(crate) fn state(&self) -> SessionState {
        if !self.process.is_current() {
            return SessionState::Closed;
        }
        match &*self.current.borrow() {
            CurrentSession::Open(live) if !live.is_alive() && !self.closing.is_cancelled() => SessionState::Lost,
            _ => *self.state.borrow(),
        }
    }

    /// The present state and its changes.
    pub(crate) fn states(&self) -> SessionStates {
        let changes = self.changes.subscribe();
        SessionStates::new(self.process, self.state(), changes)
    }

    /// Tells the task to close the session and to end. In a fork it has no effect.
    pub(crate) fn close(&self) {
        if self.process.is_current() {
            self.closing.cancel();
        }
    }

    /// Waits until there will be no further session, and returns the reason.
    pub(crate) async fn ended(&self) -> Error {
        let mut current = self.current.subscribe();
        let ended = current.wait_for(|current| matches!(current, CurrentSession::Ended(_)));
        let ended = self.process.run(async { ended.await.map(|ended| ended.clone()) }).await;
        match ended {
            Ok(Ok(CurrentSession::Ended(error))) | Err(error) => error,
            Ok(_) => coordinator_closed(),
        }
    }

    /// Makes `entry`, which entered through `live`, enter again through each later session until it is dropped.
    pub(crate) fn enter_again_after_loss(&self, entry: Weak<dyn Rejoin>, live: &Arc<LiveSession>) {
        let mut rejoining = lock(&self.rejoining);
        rejoining.retain(|known| known.strong_count() > 0);
        // The next session may have been opened meanwhile.
        if let CurrentSession::Open(current) = &*self.current.borrow()
            && !Arc::ptr_eq(current, live)
        {
            current.spawn(rejoin(entry.clone(), current.clone()));
        }
        rejoining.push(entry);
    }

    async fn open(&self) -> Result<Arc<LiveSession>> {
        let sent = Moment::now();
        let session = self.driver.open(&self.options).await?;
        debug!(member = %self.options.member, ttl = ?session.ttl(), "session opened");
        Ok(LiveSession::start(session, sent, self.options.timeout))
    }

    /// Runs until the coordinator is closed; `live` is its first session.
    async fn run(&self, mut live: Arc<LiveSession>) {
        loop {
            let cause = tokio::select! {
                biased;
                () = self.closing.cancelled() => return self.close_session(&live).await,
                cause = self.keep_alive(&live) => cause,
            };
            self.report_loss(&live, &cause);
            live = tokio::select! {
                biased;
                () = self.closing.cancelled() => return self.end(coordinator_closed()),
                live = self.reopen() => live,
            };
            telemetry::reconnect(self.info.name);
            info!(member = %self.options.member, "opened a new session");
            self.use_next(&live);
        }
    }

    /// Renews the session until it is lost, and passes on the evictions that the backend reports meanwhile.
    async fn keep_alive(&self, live: &LiveSession) -> Error {
        let third = live.session().ttl().unwrap_or(self.options.ttl) / 3;
        let interval = self.heartbeat.map_or(third, |heartbeat| heartbeat.min(third));
        let suspend_check = live.deadline().map_or(interval, |_| interval / SUSPEND_CHECKS);
        let pause_after_failure = (interval / 4).min(Duration::from_millis(500));
        let mut next = Moment::now() + interval;
        loop {
            let renewal = async {
                sleep_until(next, suspend_check).await;
                let sent = Moment::now();
                let renewed = timeout(third, live.session().renew()).await;
                (sent, renewed.unwrap_or_else(|_| Err(renewal_timed_out(third))))
            };
            let (sent, outcome) = tokio::select! {
                biased;
                cause = live.lost() => return cause,
                cause = self.pass_on_evictions(live) => {
                    live.lose(cause);
                    continue;
                }
                renewed = renewal => renewed,
            };
            telemetry::renewal(self.info.name, outcome.is_ok());
            match outcome {
                Ok(()) => {
                    live.renewed(sent);
                    self.set_state(SessionState::Connected);
                    next = live.next_renewal(sent, interval);
                }
                Err(error) if error.is_session_lost() => live.lose(error),
                Err(error) => {
                    debug!(member = %self.options.member, %error, "renewal failed");
                    self.set_state(SessionState::Suspended {
                        until: live.deadline().map(|deadline| deadline.as_instant().into_std()),
                    });
                    next = Moment::now() + pause_after_failure;
                }
            }
        }
    }

    /// Passes evictions on to their holders until the backend reports the end of the session.
    async fn pass_on_evictions(&self, live: &LiveSession) -> Error {
        loop {
            match live.session().lost().await {
                Loss::Session(cause) => return cause,
                Loss::Entry(nonce) => {
                    if live.record_eviction(nonce) {
                        telemetry::loss(self.info.name, "evicted");
                    }
                }
            }
        }
    }

    fn report_loss(&self, live: &LiveSession, cause: &Error) {
        warn!(member = %self.options.member, %cause, "session lost");
        telemetry::loss(self.info.name, "session");
        self.current.send_replace(CurrentSession::Opening(cause.to_string()));
        self.set_state(SessionState::Lost);
        // The backend removes the session's entries now if it answers, else after the TTL.
        let session = live.session().clone();
        live.spawn(async move { session.close().await });
    }

    async fn reopen(&self) -> Arc<LiveSession> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            match self.open().await {
                Ok(live) => return live,
                Err(error) => {
                    debug!(member = %self.options.member, %error, "failed to open a new session");
                    self.current.send_replace(CurrentSession::Opening(error.to_string()));
                }
            }
            backoff.pause().await;
        }
    }

    async fn close_session(&self, live: &LiveSession) {
        live.lose(coordinator_closed());
        if let Err(error) = live.session().close().await {
            debug!(member = %self.options.member, %error, "failed to close the session; the backend drops it by its TTL");
        }
        self.end(coordinator_closed());
    }

    /// Makes every later call fail with `error`, unless an earlier one has ended the coordinator.
    fn end(&self, error: Error) {
        let current = self.current.borrow().clone();
        match current {
            CurrentSession::Ended(_) => return,
            CurrentSession::Open(live) => live.lose(error.clone()),
            CurrentSession::Opening(_) => {}
        }
        self.set_state(SessionState::Closed);
        self.current.send_replace(CurrentSession::Ended(error));
    }

    fn set_state(&self, state: SessionState) {
        let changed = self.state.send_if_modified(|present| std::mem::replace(present, state) != state);
        if changed {
            telemetry::state(&self.options.member, state);
            // It is no error if there is no receiver.
            let _ = self.changes.send(state);
        }
    }

    /// Makes `live` the present session, and has each entry enter again through it, in a task of its own.
    fn use_next(&self, live: &Arc<LiveSession>) {
        // The mutex is held meanwhile, so that an entry that is added now enters through `live` only once.
        let rejoining = lock(&self.rejoining);
        self.current.send_replace(CurrentSession::Open(live.clone()));
        self.set_state(SessionState::Connected);
        for entry in rejoining.iter().filter(|entry| entry.strong_count() > 0) {
            live.spawn(rejoin(entry.clone(), live.clone()));
        }
    }

    fn no_session(&self) -> Error {
        let cause = match &*self.current.borrow() {
            CurrentSession::Opening(cause) => cause.clone(),
            _ => "the last session was lost just now".to_owned(),
        };
        let message = "there is no session with the backend at the moment; the coordinator keeps trying to open one";
        Error::new(ErrorKind::Unavailable, message).with_source(cause)
    }
}

/// Ends the coordinator when the task is dropped before it has closed the session.
struct EndOfTask(Arc<Supervisor>);

impl Drop for EndOfTask {
    fn drop(&mut self) {
        if self.0.process.is_current() {
            self.0.end(runtime_ended());
        }
    }
}
