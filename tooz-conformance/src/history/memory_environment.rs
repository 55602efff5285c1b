//! Runs on the memory driver with its own faults. With a paused clock a run takes no time, and a seed repeats it
//! exactly.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tooz_core::driver::{Session, SessionOptions};
use tooz_core::memory::{Backup, Server};
use tooz_core::{Builder, Coordinator, DriverEntry, Error, Name, Registry};

use super::client_id::member;
use super::environment::Environment;
use super::event::Event;
use super::fault::{Fault, FaultKind};
use super::recorder::Recorder;
use super::workload::{Connect, ProcessPlan, perform};

/// The namespace of all clients of a run.
const NAMESPACE: &str = "history";

/// The faults that the server of the memory driver can have.
const KINDS: [FaultKind; 7] = [
    FaultKind::Expire,
    FaultKind::Partition,
    FaultKind::BlackHole,
    FaultKind::Remove,
    FaultKind::Neighbour,
    FaultKind::Restore,
    FaultKind::EmptyServer,
];

/// The memory driver, or a driver that is built on it, and its server.
#[derive(Debug)]
pub struct MemoryEnvironment {
    driver: DriverEntry,
    url: String,
    server: Server,
    kinds: Vec<FaultKind>,
    backup: Mutex<Backup>,
    processes: Mutex<Vec<JoinHandle<()>>>,
}

impl MemoryEnvironment {
    /// `driver` opens URLs like those of the memory driver. `server` is a unique server name.
    pub fn new(driver: DriverEntry, server: &str) -> Self {
        Self {
            url: format!("{}://{server}", driver.schemes[0]),
            driver,
            server: Server::named(server),
            kinds: KINDS.to_vec(),
            backup: Mutex::default(),
            processes: Mutex::default(),
        }
    }

    /// Replaces the faults that can be injected.
    #[must_use]
    pub fn with_faults(mut self, kinds: &[FaultKind]) -> Self {
        self.kinds = kinds.to_vec();
        self
    }
}

#[async_trait]
impl Environment for MemoryEnvironment {
    fn builder(&self, member: &str) -> Builder {
        Coordinator::builder(&self.url).registry(Registry::with([self.driver])).member(member).namespace(NAMESPACE)
    }

    async fn session(&self) -> Result<Box<dyn Session>, Error> {
        let (ttl, timeout) = (Duration::from_secs(3), Duration::from_secs(2));
        let options = SessionOptions::new(NAMESPACE, Name::new("remover")?, ttl, timeout);
        (self.driver.open)(&self.url.parse()?)?.open(&options).await
    }

    fn kinds(&self) -> Vec<FaultKind> {
        self.kinds.clone()
    }

    async fn save(&self) -> Result<(), String> {
        *self.backup.lock().await = self.server.back_up();
        Ok(())
    }

    async fn play(&self, plan: ProcessPlan, recorder: &Recorder) -> Result<(), String> {
        let (url, driver) = (self.url.clone(), self.driver);
        let connect: Connect = Arc::new(move |member| {
            Coordinator::builder(&url).registry(Registry::with([driver])).member(member).namespace(NAMESPACE)
        });
        self.processes.lock().await.push(tokio::spawn(perform(plan, connect, recorder.clone())));
        Ok(())
    }

    async fn begin(&self, fault: &Fault) -> Result<(), String> {
        let victims = fault.victims().unwrap_or_default().iter().map(|victim| member(*victim));
        match fault.kind() {
            // A session that ends is all that a memory server sees of a restart.
            FaultKind::Expire | FaultKind::RestartClients => victims.for_each(|victim| self.server.expire(victim)),
            FaultKind::Partition => {
                for victim in victims {
                    self.server.partition(victim).map_err(|error| error.to_string())?;
                }
            }
            FaultKind::BlackHole => self.server.pause(),
            FaultKind::Restore => self.server.restore(&*self.backup.lock().await),
            FaultKind::EmptyServer => self.server.empty(),
            other => return Err(format!("the memory driver cannot inject the fault {other}")),
        }
        Ok(())
    }

    async fn end(&self, _fault: &Fault) -> Result<(), String> {
        self.server.heal();
        self.server.resume();
        Ok(())
    }

    async fn finish(&self) -> Result<Vec<Event>, String> {
        for plan in self.processes.lock().await.drain(..) {
            plan.await.map_err(|error| error.to_string())?;
        }
        Ok(Vec::new())
    }
}
