//! One running server of a deployment, and how to disturb it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::data;
use super::runtime::on_servers;
use super::spec::{Launch, Location, NodeSpec};
use super::unit::Unit;

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(60);

/// One server of a deployment. Each method returns when its effect is visible.
#[derive(Clone, Debug)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spec: NodeSpec,
    location: Location,
    /// The files with which the server was configured.
    files: Vec<String>,
    /// Odd from when the server is killed or frozen until it serves again.
    disturbances: AtomicU64,
    unit: Mutex<Option<Unit>>,
}

impl Node {
    pub(crate) fn new(spec: NodeSpec, location: Location, launch: &Launch, unit: Unit) -> Self {
        let files = launch.files.iter().map(|(name, _)| name.clone()).collect();
        Self(Arc::new(Inner { spec, location, files, disturbances: AtomicU64::new(0), unit: Mutex::new(Some(unit)) }))
    }

    /// The name of the node inside its deployment, such as `master`.
    pub fn name(&self) -> &str {
        &self.0.spec.name
    }

    /// The port that clients use, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.location.port()
    }

    /// A further port of the node: `extra_port(1)` is the second one.
    pub fn extra_port(&self, index: usize) -> Option<u16> {
        self.0.location.ports.get(index).copied()
    }

    /// The address that clients use.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The port for health and version checks.
    pub(crate) fn health_port(&self) -> u16 {
        self.0.location.ports[self.0.spec.health]
    }

    pub(crate) fn is_for_clients(&self) -> bool {
        self.0.spec.for_clients
    }

    /// Kills the server with SIGKILL, even if it is paused.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn kill(&self) -> io::Result<()> {
        self.begin_disturbance();
        self.with(|unit| unit.kill().boxed()).await
    }

    /// Freezes the server: connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn pause(&self) -> io::Result<()> {
        self.begin_disturbance();
        self.with(|unit| unit.pause().boxed()).await
    }

    /// Resumes a frozen server.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn resume(&self) -> io::Result<()> {
        self.with(|unit| unit.resume().boxed()).await?;
        self.end_disturbance();
        Ok(())
    }

    /// Asks the server to stop, and kills it after 10 s.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn stop_gracefully(&self) -> io::Result<()> {
        self.begin_disturbance();
        self.with(|unit| unit.stop().boxed()).await
    }

    /// Starts a server that ended, with the same port and data, and waits until it serves.
    ///
    /// # Errors
    /// It does not serve within 60 s.
    pub async fn start(&self) -> io::Result<()> {
        self.with(|unit| unit.start().boxed()).await?;
        self.ready().await?;
        self.end_disturbance();
        Ok(())
    }

    /// Kills the server and starts it again; see [`start`](Self::start).
    ///
    /// # Errors
    /// Those of `kill` and `start`.
    pub async fn restart(&self) -> io::Result<()> {
        self.kill().await?;
        self.start().await
    }

    /// Copies the data of a stopped server aside, for [`restore_data`](Self::restore_data).
    pub(super) async fn save_data(&self) -> io::Result<()> {
        self.shell(data::save()).await
    }

    /// Replaces the data of a stopped server by the copy.
    pub(super) async fn restore_data(&self) -> io::Result<()> {
        self.shell(data::restore()).await
    }

    /// Removes the data of a stopped server.
    pub(super) async fn remove_data(&self) -> io::Result<()> {
        self.shell(data::empty(&self.0.files)).await
    }

    async fn shell(&self, script: String) -> io::Result<()> {
        self.with(move |unit| async move { unit.shell(&script).await }.boxed()).await
    }

    /// Waits until the server serves.
    ///
    /// # Errors
    /// It ended, or does not serve within 60 s; the error contains the end of its log.
    pub async fn ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let outcome = self.serves().await;
            // The server of another process may have answered on this port, so this server must run too.
            if !self.with(|unit| unit.is_running().map(Ok).boxed()).await? {
                return Err(self.failure("ended").await);
            }
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(self.failure(&format!("does not serve after {START:?} ({error})")).await);
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// How long the server takes to answer a trivial request, unless it is killed or frozen meanwhile.
    pub(crate) async fn response_time(&self) -> Option<Duration> {
        let (before, began) = (self.0.disturbances.load(Ordering::SeqCst), Instant::now());
        // A server that refuses answers, too.
        (self.0.spec.ready)(self.health_port()).await.ok();
        let is_calm = before.is_multiple_of(2) && before == self.0.disturbances.load(Ordering::SeqCst);
        is_calm.then(|| began.elapsed())
    }

    fn begin_disturbance(&self) {
        self.0.disturbances.fetch_or(1, Ordering::SeqCst);
    }

    fn end_disturbance(&self) {
        let even = |count: u64| count.checked_next_multiple_of(2);
        self.0.disturbances.fetch_update(Ordering::SeqCst, Ordering::SeqCst, even).ok();
    }

    async fn serves(&self) -> io::Result<()> {
        (self.0.spec.ready)(self.health_port()).await?;
        match &self.0.spec.ready_for_clients {
            Some(ready_for_clients) => ready_for_clients(self.port()).await,
            None => Ok(()),
        }
    }

    async fn failure(&self, what: &str) -> io::Error {
        let log = self.with(|unit| unit.log().map(Ok).boxed()).await.unwrap_or_default();
        io::Error::other(format!("{} {what}; its log ends with:\n{}", self.name(), log.trim_end()))
    }

    /// Ends the server and removes its data.
    pub(crate) async fn remove(&self) -> io::Result<()> {
        let inner = self.0.clone();
        on_servers(async move {
            match inner.unit.lock().await.take() {
                Some(unit) => unit.remove().await,
                None => Ok(()),
            }
        })
        .await
    }

    /// Runs `work` on the servers' runtime.
    async fn with<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Unit) -> BoxFuture<'a, io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let inner = self.0.clone();
        on_servers(async move {
            let mut unit = inner.unit.lock().await;
            work(unit.as_mut().ok_or_else(|| io::Error::other("the server was removed"))?).await
        })
        .await
    }
}
