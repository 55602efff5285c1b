//! Runs on the backend of a trial: clients in child processes, fault proxies in between, and servers that are killed,
//! frozen, restored or emptied.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tooz_core::driver::Session;
use tooz_core::{Builder, Characteristic, Error, ErrorKind};

use super::client_id::{Client, GENERATION};
use super::environment::Environment;
use super::event::Event;
use super::fault::{Fault, FaultKind, Faults};
use super::fork::{COPIES, ForkOrder, fork_clients, wait_for_copy};
use super::recorder::{Recorder, read_file};
use super::workload::{Connect, ProcessPlan, perform};
use crate::children::{Child, ChildContext, SuspendableClock};
use crate::proxy::{Direction, Proxies};
use crate::{Context, Failure};

/// The role of a child process that runs clients.
pub(crate) const ROLE: &str = "history";

/// Runs the assigned clients and records their events in a file.
pub(crate) async fn play_role(context: ChildContext) -> Result<(), Failure> {
    let Assignment { plan, record } = context.args()?;
    let target = (*context).clone();
    let connect: Connect = Arc::new(move |member| target.builder(member));
    let recorder = Recorder::in_file(&record)?;
    let over = plan.over;
    let mut copies = Vec::new();
    let clients = perform(plan, connect.clone(), recorder.clone());
    let forks = async {
        while let Ok(orders) = context.receive::<Vec<ForkOrder>>().await {
            copies.push(fork_clients(orders, &connect));
        }
        std::future::pending().await
    };
    tokio::select! { () = clients => {}, () = forks => {} }
    for copy in copies.into_iter().collect::<Result<Vec<_>, _>>()?.concat() {
        wait_for_copy(copy, recorder.instant(over) + COPY_GRACE).await;
    }
    Ok(())
}

/// How long a copy of a client process may take to end after the run.
const COPY_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize)]
struct Assignment {
    plan: ProcessPlan,
    record: PathBuf,
}

/// One child process, and how it connects to the backend.
#[derive(Debug)]
struct ClientProcess {
    context: Context,
    proxies: Option<Proxies>,
    plan: ProcessPlan,
    child: Child,
}

/// The backend of a trial.
#[derive(Debug)]
pub(crate) struct BackendEnvironment {
    context: Context,
    faults: Faults,
    is_proxied: bool,
    loses_notifications: bool,
    /// Whether the host of a client process can be suspended.
    suspends: bool,
    /// Whether the driver says that the servers keep their data over a restart.
    keeps_data: bool,
    records: TempDir,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    processes: Vec<ClientProcess>,
    recorded: Vec<PathBuf>,
    /// How many client processes were replaced or copied.
    generation: Client,
}

impl State {
    /// The file for the next record, in this directory.
    fn next_record(&mut self, directory: &Path) -> PathBuf {
        let record = directory.join(format!("{}.jsonl", self.recorded.len()));
        self.recorded.push(record.clone());
        record
    }

    /// The same clients with numbers that no others have.
    fn next_generation(&mut self, clients: &[Client]) -> Vec<Client> {
        self.generation += 1;
        clients.iter().map(|client| client % GENERATION + GENERATION * self.generation).collect()
    }
}

impl BackendEnvironment {
    /// Injects faults of servers only if the trial has its own servers.
    pub(crate) async fn new(context: Context, faults: Faults) -> Result<Self, Failure> {
        let is_proxied = context.proxied().await.is_ok();
        let loses_notifications = is_proxied && context.may_lose_notifications();
        let keeps_data = context.info()?.characteristics.contains(&Characteristic::Sequential);
        let records = tempfile::Builder::new().prefix("tooz-history-").tempdir()?;
        let suspends = can_suspend();
        let state = Mutex::default();
        Ok(Self { context, faults, is_proxied, loses_notifications, suspends, keeps_data, records, state })
    }

    /// A backup needs data that outlives the server.
    fn kinds_of_data(&self) -> impl Iterator<Item = FaultKind> {
        [FaultKind::EmptyServer].into_iter().chain(self.keeps_data.then_some(FaultKind::Restore))
    }

    async fn start_process(&self, plan: ProcessPlan) -> Result<ClientProcess, Failure> {
        let (context, proxies) = match self.is_proxied {
            true => {
                let (context, proxies) = self.context.proxied().await?;
                (context, Some(proxies))
            }
            false => (self.context.clone(), None),
        };
        let child = self.child(&context, &plan, &mut *self.state.lock().await)?;
        Ok(ClientProcess { context, proxies, plan, child })
    }

    fn child(&self, context: &Context, plan: &ProcessPlan, state: &mut State) -> Result<Child, Failure> {
        let assignment = Assignment { plan: plan.clone(), record: state.next_record(self.records.path()) };
        match self.suspends {
            true => context.spawn_suspendable(ROLE, &assignment),
            false => context.spawn(ROLE, &assignment),
        }
    }

    async fn start_fault(&self, fault: &Fault) -> Result<(), Failure> {
        match fault.kind() {
            FaultKind::FreezeServer => return Ok(self.context.server()?.pause().await?),
            FaultKind::RestartServer => {
                let server = self.context.server()?;
                server.kill().await?;
                return Ok(server.start_again().await?);
            }
            FaultKind::Restore => return Ok(self.context.server()?.restore().await?),
            FaultKind::EmptyServer => return Ok(self.context.server()?.empty().await?),
            _ => {}
        }
        let state = &mut *self.state.lock().await;
        let mut processes = std::mem::take(&mut state.processes);
        for process in processes.iter_mut().filter(|process| process.is_hit_by(fault)) {
            match fault.kind() {
                FaultKind::Fork => {
                    let mut order = || {
                        let clients = state.next_generation(&process.plan.clients);
                        let plan = ProcessPlan { clients, ..process.plan.clone() };
                        ForkOrder { plan, record: state.next_record(self.records.path()) }
                    };
                    let orders: Vec<_> = std::iter::repeat_with(&mut order).take(COPIES).collect();
                    process.child.send(&orders).await?;
                }
                kind => process.begin(kind).await?,
            }
        }
        state.processes = processes;
        Ok(())
    }

    async fn end_fault(&self, fault: &Fault) -> Result<(), Failure> {
        if fault.kind() == FaultKind::FreezeServer {
            return Ok(self.context.server()?.resume().await?);
        }
        let state = &mut *self.state.lock().await;
        let mut processes = std::mem::take(&mut state.processes);
        for process in &mut processes {
            if let Some(proxies) = &process.proxies {
                proxies.heal().await?;
            }
            if process.is_hit_by(fault) {
                match fault.kind() {
                    FaultKind::FreezeClient => process.child.resume()?,
                    FaultKind::Suspend => process.child.wake()?,
                    FaultKind::KillClient | FaultKind::RestartClients => {
                        process.plan.clients = state.next_generation(&process.plan.clients);
                        process.child = self.child(&process.context, &process.plan, state)?;
                    }
                    _ => {}
                }
            }
        }
        state.processes = processes;
        Ok(())
    }
}

/// Whether this machine can suspend one process alone.
fn can_suspend() -> bool {
    SuspendableClock::new().is_ok()
}

impl ClientProcess {
    fn is_hit_by(&self, fault: &Fault) -> bool {
        self.plan.clients.iter().any(|client| fault.hits(*client))
    }

    async fn begin(&mut self, kind: FaultKind) -> Result<(), Failure> {
        match (kind, &self.proxies) {
            (FaultKind::KillClient | FaultKind::RestartClients, _) => self.child.kill().await?,
            (FaultKind::FreezeClient, _) => self.child.pause()?,
            (FaultKind::Suspend, _) => self.child.suspend().await?,
            (FaultKind::Cut, Some(proxies)) => proxies.cut(),
            (FaultKind::Partition | FaultKind::BlackHole, Some(proxies)) => proxies.black_hole(Direction::Both),
            (FaultKind::DropReplies, Some(proxies)) => proxies.drop_replies(),
            (FaultKind::Hold, Some(proxies)) => proxies.hold(Direction::Both),
            (FaultKind::LoseNotifications, Some(proxies)) => proxies.drop_notifications(),
            (FaultKind::CutReply, Some(proxies)) => proxies.cut_after(1 + u64::from(self.plan.clients[0]) % 3),
            (FaultKind::Delay, Some(proxies)) => proxies.delay(Duration::from_millis(40)),
            (other, _) => return Err(Failure::new(format!("this backend cannot inject the fault {other}"))),
        }
        Ok(())
    }
}

#[async_trait]
impl Environment for BackendEnvironment {
    fn builder(&self, member: &str) -> Builder {
        self.context.builder(member)
    }

    async fn session(&self) -> Result<Box<dyn Session>, Error> {
        let failed = |failure: Failure| Error::new(ErrorKind::Unavailable, failure.to_string());
        self.context.session("remover").await.map_err(failed)
    }

    fn kinds(&self) -> Vec<FaultKind> {
        use FaultKind as F;
        if self.faults == Faults::Data {
            return self.kinds_of_data().chain([F::KillClient]).collect();
        }
        if self.faults == Faults::Restarts {
            return [F::RestartClients, F::RestartClients]
                .into_iter()
                .chain(self.loses_notifications.then_some(F::LoseNotifications))
                .collect();
        }
        let mut kinds = vec![F::KillClient, F::FreezeClient, F::Remove, F::Fork, F::Neighbour];
        if self.suspends {
            kinds.push(F::Suspend);
        }
        if self.is_proxied {
            kinds.extend([F::Partition, F::Cut, F::BlackHole, F::DropReplies, F::Hold, F::CutReply, F::Delay]);
        }
        if self.loses_notifications {
            kinds.push(F::LoseNotifications);
        }
        if self.faults == Faults::Servers {
            kinds.extend([F::FreezeServer, F::FreezeServer]);
            kinds.extend(self.kinds_of_data());
        }
        if self.faults == Faults::Servers && self.keeps_data {
            kinds.extend([F::RestartServer, F::RestartServer]);
        }
        kinds
    }

    async fn save(&self) -> Result<(), String> {
        let saving = async { Ok::<_, Failure>(self.context.server()?.save().await?) };
        saving.await.map_err(|failure| format!("failed to copy the data of the servers: {failure}"))
    }

    async fn play(&self, plan: ProcessPlan, _recorder: &Recorder) -> Result<(), String> {
        let process = self.start_process(plan).await.map_err(|failure| failure.to_string())?;
        self.state.lock().await.processes.push(process);
        Ok(())
    }

    async fn begin(&self, fault: &Fault) -> Result<(), String> {
        self.start_fault(fault)
            .await
            .map_err(|failure| format!("failed to start the fault {}: {failure}", fault.kind()))
    }

    async fn end(&self, fault: &Fault) -> Result<(), String> {
        self.end_fault(fault).await.map_err(|failure| format!("failed to end the fault {}: {failure}", fault.kind()))
    }

    async fn finish(&self) -> Result<Vec<Event>, String> {
        let mut state = self.state.lock().await;
        for process in &mut state.processes {
            let status = process.child.wait().await.map_err(|failure| failure.to_string())?;
            if !status.success() {
                return Err(format!("a client process ended with {status}"));
            }
        }
        let mut events = Vec::new();
        for record in &state.recorded {
            // A process that was killed early may not have created its file.
            events.extend(read_file(record).unwrap_or_default());
        }
        Ok(events)
    }
}
