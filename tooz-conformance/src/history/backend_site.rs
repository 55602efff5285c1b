//! Runs against the backend of a trial: clients in processes of their own, proxies in between, servers to be harmed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tooz_core::driver::Session;
use tooz_core::{Builder, Characteristic, Error, ErrorKind};

use super::event::{Event, GENERATION};
use super::fault::{Fault, FaultKind};
use super::part::{Connect, Part, perform};
use super::recorder::{Recorder, read_file};
use super::run::Site;
use crate::children::{Child, ChildContext};
use crate::proxy::{Direction, Proxies};
use crate::{Context, Failure};

/// The role of a process that plays clients.
pub(crate) const ROLE: &str = "history";

/// Plays what the parent says, and records it in a file.
pub(crate) async fn play_role(context: ChildContext) -> Result<(), Failure> {
    let Orders { part, record } = context.args()?;
    let reach = (*context).clone();
    let connect: Connect = Arc::new(move |member| reach.builder(member));
    perform(part, connect, Recorder::in_file(&record)?).await;
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Orders {
    part: Part,
    record: std::path::PathBuf,
}

/// One process and its way to the backend.
#[derive(Debug)]
struct Lane {
    context: Context,
    proxies: Option<Proxies>,
    part: Part,
    child: Child,
}

/// The backend of a trial.
#[derive(Debug)]
pub(crate) struct BackendSite {
    context: Context,
    harms_servers: bool,
    is_proxied: bool,
    /// Whether a restart of the servers loses nothing, as the driver says.
    keeps_data: bool,
    records: TempDir,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    recorded: Vec<std::path::PathBuf>,
}

impl BackendSite {
    /// Harms the servers only if the trial said that they are its own.
    pub(crate) async fn new(context: Context, harms_servers: bool) -> Result<Self, Failure> {
        let is_proxied = context.proxied().await.is_ok();
        let keeps_data = context.info()?.characteristics.contains(&Characteristic::Sequential);
        let records = tempfile::Builder::new().prefix("tooz-history-").tempdir()?;
        Ok(Self { context, harms_servers, is_proxied, keeps_data, records, state: Mutex::default() })
    }

    async fn lane(&self, part: Part) -> Result<Lane, Failure> {
        let (context, proxies) = match self.is_proxied {
            true => {
                let (context, proxies) = self.context.proxied().await?;
                (context, Some(proxies))
            }
            false => (self.context.clone(), None),
        };
        let child = self.child(&context, &part, &mut *self.state.lock().await)?;
        Ok(Lane { context, proxies, part, child })
    }

    fn child(&self, context: &Context, part: &Part, state: &mut State) -> Result<Child, Failure> {
        let record = self.records.path().join(format!("{}.jsonl", state.recorded.len()));
        state.recorded.push(record.clone());
        context.spawn(ROLE, &Orders { part: part.clone(), record })
    }

    async fn begin_fault(&self, fault: &Fault) -> Result<(), Failure> {
        match fault.kind() {
            FaultKind::FreezeServer => return Ok(self.context.server()?.pause().await?),
            FaultKind::RestartServer => {
                let server = self.context.server()?;
                server.kill().await?;
                return Ok(server.start_again().await?);
            }
            _ => {}
        }
        let mut state = self.state.lock().await;
        for lane in state.lanes.iter_mut().filter(|lane| lane.part.clients.iter().any(|client| fault.hits(*client))) {
            lane.begin(fault.kind()).await?;
        }
        Ok(())
    }

    async fn end_fault(&self, fault: &Fault) -> Result<(), Failure> {
        if fault.kind() == FaultKind::FreezeServer {
            return Ok(self.context.server()?.resume().await?);
        }
        let state = &mut *self.state.lock().await;
        let mut lanes = std::mem::take(&mut state.lanes);
        for lane in &mut lanes {
            if let Some(proxies) = &lane.proxies {
                proxies.heal().await?;
            }
            if lane.part.clients.iter().any(|client| fault.hits(*client)) {
                match fault.kind() {
                    FaultKind::FreezeClient => lane.child.resume()?,
                    FaultKind::KillClient => {
                        lane.part.clients.iter_mut().for_each(|client| *client += GENERATION);
                        lane.child = self.child(&lane.context, &lane.part, state)?;
                    }
                    _ => {}
                }
            }
        }
        state.lanes = lanes;
        Ok(())
    }
}

impl Lane {
    async fn begin(&mut self, kind: FaultKind) -> Result<(), Failure> {
        match (kind, &self.proxies) {
            (FaultKind::KillClient, _) => self.child.kill().await?,
            (FaultKind::FreezeClient, _) => self.child.pause()?,
            (FaultKind::Cut, Some(proxies)) => proxies.cut(),
            (FaultKind::Partition | FaultKind::BlackHole, Some(proxies)) => proxies.black_hole(Direction::Both),
            (FaultKind::DropReplies, Some(proxies)) => proxies.drop_replies(),
            (FaultKind::Hold, Some(proxies)) => proxies.hold(Direction::Both),
            (FaultKind::CutReply, Some(proxies)) => proxies.cut_after(1 + u64::from(self.part.clients[0]) % 3),
            (FaultKind::Delay, Some(proxies)) => proxies.delay(Duration::from_millis(40)),
            (other, _) => return Err(Failure::new(format!("there is no {other} here"))),
        }
        Ok(())
    }
}

#[async_trait]
impl Site for BackendSite {
    fn builder(&self, member: &str) -> Builder {
        self.context.builder(member)
    }

    async fn session(&self) -> Result<Box<dyn Session>, Error> {
        let failed = |failure: Failure| Error::new(ErrorKind::Unavailable, failure.to_string());
        self.context.session("remover").await.map_err(failed)
    }

    fn kinds(&self) -> Vec<FaultKind> {
        use FaultKind as F;
        let mut kinds = vec![F::KillClient, F::FreezeClient, F::Remove];
        if self.is_proxied {
            kinds.extend([F::Partition, F::Cut, F::BlackHole, F::DropReplies, F::Hold, F::CutReply, F::Delay]);
        }
        if self.harms_servers {
            kinds.extend([F::FreezeServer, F::FreezeServer]);
        }
        if self.harms_servers && self.keeps_data {
            kinds.extend([F::RestartServer, F::RestartServer]);
        }
        kinds
    }

    async fn play(&self, part: Part, _recorder: &Recorder) -> Result<(), String> {
        let lane = self.lane(part).await.map_err(|failure| failure.to_string())?;
        self.state.lock().await.lanes.push(lane);
        Ok(())
    }

    async fn begin(&self, fault: &Fault) -> Result<(), String> {
        self.begin_fault(fault).await.map_err(|failure| format!("{}: {failure}", fault.kind()))
    }

    async fn end(&self, fault: &Fault) -> Result<(), String> {
        self.end_fault(fault).await.map_err(|failure| format!("the end of {}: {failure}", fault.kind()))
    }

    async fn finish(&self) -> Result<Vec<Event>, String> {
        let mut state = self.state.lock().await;
        for lane in &mut state.lanes {
            let status = lane.child.wait().await.map_err(|failure| failure.to_string())?;
            if !status.success() {
                return Err(format!("a process of clients ended with {status}"));
            }
        }
        let mut events = Vec::new();
        for record in &state.recorded {
            // A process that was killed at once may not have come so far as to make its file.
            events.extend(read_file(record).unwrap_or_default());
        }
        Ok(events)
    }
}
