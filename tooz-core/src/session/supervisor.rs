//! The task behind each coordinator: it renews the session, reports its loss, opens the next one and has memberships
//! enter again.
//!
//! - It renews every third of the TTL. A renewal that hangs is given up after that time, so that another one fits in
//!   before the deadline.
//! - After a loss it opens a new session with growing pauses, for as long as it takes.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::live::LiveSession;
use super::retry::Backoff;
use super::state::{SessionState, SessionStates};
use crate::driver::support::lock;
use crate::driver::{Driver, DriverInfo, Loss, SessionOptions};
use crate::{Error, ErrorKind, Result, telemetry};

/// How many changes of state a slow reader may be behind.
const STATES_KEPT: usize = 64;

/// Something that belongs to every session of a coordinator, such as the membership of a group.
#[async_trait]
pub(crate) trait Rejoin: Debug + Send + Sync {
    /// Enters again through a new session.
    async fn rejoin(&self, live: Arc<LiveSession>);
}

/// The sessions of one coordinator, one after the other. All clones of the coordinator share it with its task.
#[derive(Debug)]
pub(crate) struct Supervisor {
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
    /// There is none at the moment; the text says why the last one ended or the last attempt to open one failed.
    Opening(String),
    Closed,
}

impl Supervisor {
    /// Opens the first session and starts the task in the current runtime.
    pub(crate) async fn start(
        driver: Arc<dyn Driver>,
        options: SessionOptions,
        heartbeat: Option<Duration>,
    ) -> Result<Arc<Self>> {
        let supervisor = Arc::new(Self {
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
        tokio::spawn(supervisor.clone().run(live));
        Ok(supervisor)
    }

    pub(crate) fn info(&self) -> &DriverInfo {
        &self.info
    }

    pub(crate) fn options(&self) -> &SessionOptions {
        &self.options
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
            CurrentSession::Closed => true,
        };
        let found = timeout(self.options.timeout, current.wait_for(usable)).await;
        match found.map(|found| found.map(|current| current.clone())) {
            Ok(Ok(CurrentSession::Open(live))) => Ok(live),
            Ok(_) => Err(coordinator_closed()),
            Err(_) => Err(self.no_session()),
        }
    }

    /// The present state.
    pub(crate) fn state(&self) -> SessionState {
        *self.state.borrow()
    }

    /// The present state and its changes.
    pub(crate) fn states(&self) -> SessionStates {
        let changes = self.changes.subscribe();
        SessionStates::new(self.state(), changes)
    }

    /// Tells the task to close the session and to end.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until the task has closed the session.
    pub(crate) async fn closed(&self) {
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| *state == SessionState::Closed).await;
    }

    /// Has `entry` enter again with each new session until it is dropped.
    pub(crate) fn enter_again_after_loss(&self, entry: Weak<dyn Rejoin>) {
        let mut rejoining = lock(&self.rejoining);
        rejoining.retain(|known| known.strong_count() > 0);
        rejoining.push(entry);
    }

    async fn open(&self) -> Result<Arc<LiveSession>> {
        let sent = Instant::now();
        let session = self.driver.open(&self.options).await?;
        debug!(member = %self.options.member, ttl = ?session.ttl(), "session opened");
        Ok(LiveSession::start(session, sent, self.options.timeout))
    }

    /// Runs until the coordinator is closed; `live` is its first session.
    async fn run(self: Arc<Self>, mut live: Arc<LiveSession>) {
        loop {
            let cause = tokio::select! {
                biased;
                () = self.closing.cancelled() => return self.close_session(&live).await,
                cause = self.keep_alive(&live) => cause,
            };
            self.report_loss(&live, &cause);
            live = tokio::select! {
                biased;
                () = self.closing.cancelled() => return self.finish(),
                live = self.reopen() => live,
            };
            telemetry::reconnect(self.info.name);
            info!(member = %self.options.member, "opened a new session");
            self.current.send_replace(CurrentSession::Open(live.clone()));
            self.set_state(SessionState::Connected);
            tokio::spawn(rejoin_all(self.rejoining(), live.clone()));
        }
    }

    /// Renews the session until it is lost, and passes on the evictions that the backend reports meanwhile.
    async fn keep_alive(&self, live: &LiveSession) -> Error {
        let third = live.session().ttl().unwrap_or(self.options.ttl) / 3;
        let interval = self.heartbeat.map_or(third, |heartbeat| heartbeat.min(third));
        let pause_after_failure = (interval / 4).min(Duration::from_millis(500));
        let mut next = Instant::now() + interval;
        loop {
            let renewal = async {
                sleep_until(next).await;
                let sent = Instant::now();
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
                    next = sent + interval;
                }
                Err(error) if error.is_session_lost() => live.lose(error),
                Err(error) => {
                    debug!(member = %self.options.member, %error, "renewal failed");
                    self.set_state(SessionState::Suspended { until: live.deadline() });
                    next = Instant::now() + pause_after_failure;
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
        // What the backend still keeps of the session is removed now if the backend answers, else after the TTL.
        let session = live.session().clone();
        tokio::spawn(async move { session.close().await });
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
        self.finish();
    }

    fn finish(&self) {
        self.current.send_replace(CurrentSession::Closed);
        self.set_state(SessionState::Closed);
    }

    fn set_state(&self, state: SessionState) {
        let changed = self.state.send_if_modified(|present| std::mem::replace(present, state) != state);
        if changed {
            // There need not be a receiver.
            let _ = self.changes.send(state);
        }
    }

    fn rejoining(&self) -> Vec<Arc<dyn Rejoin>> {
        lock(&self.rejoining).iter().filter_map(Weak::upgrade).collect()
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

async fn rejoin_all(entries: Vec<Arc<dyn Rejoin>>, live: Arc<LiveSession>) {
    for entry in entries {
        entry.rejoin(live.clone()).await;
    }
}

fn renewal_timed_out(limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the backend did not answer the renewal within {limit:?}"))
}

fn coordinator_closed() -> Error {
    Error::new(ErrorKind::SessionLost, "the coordinator was closed; connect a new one")
}
