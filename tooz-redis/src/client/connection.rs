//! One connection that fred keeps up: how it is made, why it is not there, and how it is made again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fred::clients::Client as Fred;
use fred::error::{Error as FredError, ErrorKind as FredKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::ConnectHandle;
use fred::types::config::{PerformanceConfig, ReconnectPolicy, Server};
use tokio::sync::broadcast;
use tooz_core::driver::support::lock;

use super::settings::Settings;

/// Milliseconds between attempts to connect again.
const RECONNECT_PAUSE: u32 = 100;

/// A connection that fred keeps up. It is closed on drop.
pub(super) struct Connection {
    pub(super) fred: Fred,
    task: Mutex<ConnectHandle>,
    failures: Mutex<Failures>,
    /// It is being made again. Several sessions that share it may ask for that at the same time.
    is_reconnecting: Arc<AtomicBool>,
}

/// Why the connection was lost or could not be made: the failures that fred reports, and the newest one that was read.
struct Failures {
    receiver: broadcast::Receiver<(FredError, Option<Server>)>,
    newest: Option<FredError>,
}

impl Connection {
    /// Connects. At most `backlog` events of each kind wait to be read.
    pub(super) async fn open(settings: &Settings, backlog: usize) -> Result<Self, FredError> {
        let Settings { config, performance, connection } = settings;
        let performance = PerformanceConfig { broadcast_channel_capacity: backlog, ..performance.clone() };
        // Without an end: a policy that is used up would leave a client that hangs for ever.
        let policy = ReconnectPolicy::new_constant(0, RECONNECT_PAUSE);
        let fred = Fred::new(config.clone(), Some(performance), Some(connection.clone()), Some(policy));
        let failures = Mutex::new(Failures { receiver: fred.error_rx(), newest: None });
        let task = Mutex::new(fred.connect());
        let connection = Self { task, fred, failures, is_reconnecting: Arc::default() };
        connection.first_connection().await?;
        Ok(connection)
    }

    /// Waits for the connection. The end of fred's task counts too, since fred reports a failure to earlier listeners only.
    async fn first_connection(&self) -> Result<(), FredError> {
        let ended = async {
            while !lock(&self.task).is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            connected = self.fred.wait_for_connect() => connected,
            () = ended => self.outcome().await,
        }
    }

    fn outcome(&self) -> impl Future<Output = Result<(), FredError>> + Send {
        let idle = tokio::spawn(async { Ok(()) });
        let task = std::mem::replace(&mut *lock(&self.task), idle);
        async move { task.await? }
    }

    /// Why a request failed that had no connection.
    pub(super) fn cause(&self, error: &FredError) -> Option<FredError> {
        match error.kind() {
            FredKind::Timeout => self.failure(),
            // fred reports this for a request that it had not sent before it connected again.
            _ if error.details().starts_with("Too many failed write attempts") => self.newest_failure(),
            _ => None,
        }
    }

    /// Why there is no connection, or `None` if there is one.
    pub(super) fn failure(&self) -> Option<FredError> {
        self.newest_failure().filter(|_| !self.fred.is_connected())
    }

    fn newest_failure(&self) -> Option<FredError> {
        let mut failures = lock(&self.failures);
        loop {
            match failures.receiver.try_recv() {
                Ok((failure, _)) => failures.newest = Some(failure),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        failures.newest.clone()
    }

    /// Starts fred's task again if it has ended, as it does when the server refuses the password on a reconnection.
    pub(super) fn restart(&self) {
        let mut task = lock(&self.task);
        if task.is_finished() {
            *task = self.fred.connect();
        }
    }

    /// Leaves a server that is the wrong one, as it said in `reason`.
    pub(super) fn leave(&self, reason: &FredError) {
        self.newest_failure();
        lock(&self.failures).newest = Some(reason.clone());
        self.reconnect();
    }

    /// Makes the connection again.
    pub(super) fn reconnect(&self) {
        if self.is_reconnecting.swap(true, Ordering::SeqCst) {
            return;
        }
        let (fred, is_reconnecting) = (self.fred.clone(), self.is_reconnecting.clone());
        tokio::spawn(async move {
            // Without a connection the policy makes one.
            let _ = fred.force_reconnection().await;
            is_reconnecting.store(false, Ordering::SeqCst);
        });
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.fred.id()).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.task).abort();
    }
}
