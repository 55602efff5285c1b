//! The task behind each coordinator: renews the session, tells of its loss, opens the next one and re-joins the groups.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::driver::{Driver, DriverInfo, Loss, SessionOptions};
use crate::live::Live;
use crate::membership::Joined;
use crate::state::SessionState;
use crate::{Error, ErrorKind, Result, telemetry};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What all clones of a coordinator and its task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) info: DriverInfo,
    pub(crate) options: SessionOptions,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) current: watch::Sender<Current>,
    pub(crate) states: broadcast::Sender<SessionState>,
    pub(crate) state: watch::Sender<SessionState>,
    pub(crate) closing: CancellationToken,
    pub(crate) joined: Mutex<Vec<Weak<Joined>>>,
}

/// The session that new operations use.
#[derive(Clone, Debug)]
pub(crate) enum Current {
    Live(Arc<Live>),
    /// There is none at the moment; the text says why the last attempt to open one failed.
    Opening(String),
    Closed,
}

impl Shared {
    /// The present session; waits for the next one while there is none, at most for the request timeout.
    pub(crate) async fn live(&self) -> Result<Arc<Live>> {
        if let Current::Live(live) = &*self.current.borrow()
            && live.is_alive()
        {
            return Ok(live.clone());
        }
        let mut current = self.current.subscribe();
        let usable = |current: &Current| match current {
            Current::Live(live) => live.is_alive(),
            Current::Opening(_) => false,
            Current::Closed => true,
        };
        let found = timeout(self.options.timeout, current.wait_for(usable)).await;
        match found.map(|found| found.map(|current| current.clone())) {
            Ok(Ok(Current::Live(live))) => Ok(live),
            Ok(_) => Err(closed()),
            Err(_) => {
                let why = match &*self.current.borrow() {
                    Current::Opening(why) => why.clone(),
                    _ => "the last session was lost just now".to_owned(),
                };
                Err(Error::new(ErrorKind::Unavailable, "there is no session with the backend at the moment")
                    .with_source(why))
            }
        }
    }

    /// Opens a session.
    pub(crate) async fn open(&self) -> Result<Arc<Live>> {
        let sent = Instant::now();
        let session = self.driver.open(&self.options).await?;
        debug!(member = %self.options.member, ttl = ?session.ttl(), "session opened");
        Ok(Live::start(session, sent))
    }

    pub(crate) fn set_state(&self, state: SessionState) {
        let changed = self.state.send_if_modified(|current| std::mem::replace(current, state) != state);
        if changed {
            // Nobody need be listening.
            let _ = self.states.send(state);
        }
    }

    /// Runs until the coordinator is closed; `live` is its first session.
    pub(crate) async fn supervise(self: Arc<Self>, mut live: Arc<Live>) {
        loop {
            let cause = tokio::select! {
                biased;
                () = self.closing.cancelled() => return self.close(&live).await,
                cause = self.keep(&live) => cause,
            };
            warn!(member = %self.options.member, %cause, "session lost");
            telemetry::loss(self.info.name, "session");
            self.current.send_replace(Current::Opening(cause.to_string()));
            self.set_state(SessionState::Lost);
            // What is left of the old session goes as soon as the backend can be told, or by its TTL.
            let old = live.session.clone();
            tokio::spawn(async move { old.close().await });
            live = tokio::select! {
                biased;
                () = self.closing.cancelled() => return self.close_without_session(),
                live = self.reopen() => live,
            };
            telemetry::reconnect(self.info.name);
            info!(member = %self.options.member, "session opened anew");
            self.current.send_replace(Current::Live(live.clone()));
            self.set_state(SessionState::Connected);
            tokio::spawn(rejoin(self.joined(), live.clone()));
        }
    }

    /// Renews the session until it is lost, and passes on what the backend pushes.
    async fn keep(&self, live: &Arc<Live>) -> Error {
        let ttl = live.session.ttl();
        let third = ttl.unwrap_or(self.options.ttl) / 3;
        let interval = self.heartbeat.map_or(third, |heartbeat| heartbeat.min(third));
        let retry = (interval / 4).min(Duration::from_millis(500));
        let mut next = Instant::now() + interval;
        loop {
            let renewal = async {
                sleep_until(next).await;
                let sent = Instant::now();
                // One that hangs must leave time for another before the deadline.
                let renewed = timeout(third, live.session.renew()).await.unwrap_or_else(|_| Err(no_answer(third)));
                (sent, renewed)
            };
            let (sent, outcome) = tokio::select! {
                biased;
                cause = live.lost() => return cause,
                cause = self.pass_on_losses(live) => {
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
                    next = Instant::now() + retry;
                }
            }
        }
    }

    /// Tells the holders of evicted entries, until the backend says that the session is over.
    async fn pass_on_losses(&self, live: &Live) -> Error {
        loop {
            match live.session.lost().await {
                Loss::Session(cause) => return cause,
                Loss::Entry(nonce) => {
                    if live.evicted(nonce) {
                        telemetry::loss(self.info.name, "evicted");
                    }
                }
            }
        }
    }

    async fn reopen(&self) -> Arc<Live> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.open().await {
                Ok(live) => return live,
                Err(error) => {
                    debug!(member = %self.options.member, %error, "no new session yet");
                    self.current.send_replace(Current::Opening(error.to_string()));
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn close(&self, live: &Live) {
        live.lose(closed());
        if let Err(error) = live.session.close().await {
            debug!(member = %self.options.member, %error, "the backend could not be told of the end of the session");
        }
        self.close_without_session();
    }

    fn close_without_session(&self) {
        self.current.send_replace(Current::Closed);
        self.set_state(SessionState::Closed);
    }

    /// Has this membership joined again after each loss of the session, as long as somebody holds it.
    pub(crate) fn remember(&self, membership: &Arc<Joined>) {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.retain(|joined| joined.strong_count() > 0);
        joined.push(Arc::downgrade(membership));
    }

    fn joined(&self) -> Vec<Arc<Joined>> {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.retain(|joined| joined.strong_count() > 0);
        joined.iter().filter_map(Weak::upgrade).collect()
    }
}

async fn rejoin(joined: Vec<Arc<Joined>>, live: Arc<Live>) {
    for joined in joined {
        joined.rejoin(live.clone()).await;
    }
}

fn no_answer(limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the renewal was not answered within {limit:?}"))
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::SessionLost, "the coordinator was closed")
}
