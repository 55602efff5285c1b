//! Notices that a trial was starved of processor time, in its own process or in one of its servers.
//!
//! - The process: a ticker every 10 ms ran more than 200 ms late.
//! - A server: it took more than 200 ms to answer a trivial request, which is sent every 250 ms. A request does not count
//!   if the trial kills or freezes the server meanwhile.
//!
//! A trial that fails while it is starved says nothing about the driver, so the runner repeats it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::servers::{Deployment, Node};

const TICK: Duration = Duration::from_millis(10);
const REQUESTS: Duration = Duration::from_millis(250);
/// The least delay that counts as starvation.
const LATE: Duration = Duration::from_millis(200);

/// What was starved, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Starvation {
    server: Option<String>,
    delay: Duration,
}

impl fmt::Display for Starvation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            None => write!(f, "it did not get the processor for {:?}", self.delay),
            Some(name) => write!(f, "its server {name} took {:?} to answer a trivial request", self.delay),
        }
    }
}

/// Watches the runtime that it was started on, and the servers that it is given, until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    worst: Arc<Mutex<Option<Starvation>>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Watchdog {
    pub(super) fn start() -> Self {
        let watchdog = Self { worst: Arc::default(), tasks: Mutex::default() };
        let worst = watchdog.worst.clone();
        watchdog.spawn(async move {
            loop {
                let before = Instant::now();
                sleep(TICK).await;
                record(&worst, None, before.elapsed().saturating_sub(TICK));
            }
        });
        watchdog
    }

    /// Watches these servers, too.
    pub(super) fn watch(&self, deployment: Option<&Deployment>) {
        for node in deployment.map(Deployment::nodes).unwrap_or_default() {
            let (node, worst): (Node, _) = (node.clone(), self.worst.clone());
            self.spawn(async move {
                loop {
                    if let Some(delay) = node.response_time().await {
                        record(&worst, Some(&node), delay);
                    }
                    sleep(REQUESTS).await;
                }
            });
        }
    }

    /// The longest delay, if that is starvation.
    pub(super) fn starved(&self) -> Option<Starvation> {
        self.worst.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(work).abort_handle();
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

fn record(worst: &Mutex<Option<Starvation>>, server: Option<&Node>, delay: Duration) {
    let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
    if delay > worst.as_ref().map_or(LATE, |worst| worst.delay) {
        *worst = Some(Starvation { server: server.map(|node| node.name().to_owned()), delay });
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(AbortHandle::abort);
    }
}
