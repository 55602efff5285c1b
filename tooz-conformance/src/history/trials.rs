//! Short runs as trials of the suite, and the part that they share with long runs.

use std::time::Duration;

use super::backend_environment::BackendEnvironment;
use super::environment::Environment;
use super::fault::{FaultKind, Faults};
use super::memory_environment::MemoryEnvironment;
use super::plan::Plan;
use super::run::run;
use super::timing::Timing;
use super::verdict::{Verdict, judge};
use super::workload::Workload;
use crate::{Context, Failure, Needs, Trial};

/// How long the clients of a trial work, without the settling time at the end.
const LENGTH: Duration = Duration::from_secs(6);

/// The time limit of a trial. Servers may take long to start again, and a run is given time to settle.
const LIMIT: Duration = Duration::from_secs(180);

/// The seed of the trials. `cargo xtask soak` draws others.
const SEED: u64 = 1;

pub(crate) fn trials() -> Vec<Trial> {
    use Workload::{Election, Group, Lock, Topic};
    let trial = |name: String, workload: Workload, needs: Needs, faults| {
        Trial::new(format!("history::{name}"), needs.within(LIMIT), move |context| short(context, workload, faults))
    };
    let of_clients =
        Workload::ALL.map(|workload| trial(workload.as_str().to_owned(), workload, Needs::NOTHING, Faults::Clients));
    let of_servers = [Lock, Group, Topic].map(|workload| {
        let name = format!("{}_while_servers_fail", workload.as_str());
        trial(name, workload, Needs::OWN_SERVER, Faults::Servers)
    });
    let of_data = [Lock, Election, Group, Topic].map(|workload| {
        let name = format!("{}_while_servers_lose_data", workload.as_str());
        trial(name, workload, Needs::OWN_SERVER, Faults::Data)
    });
    let restarts = trial("group_while_many_members_restart".to_owned(), Group, Needs::NOTHING, Faults::Restarts);
    of_clients.into_iter().chain(of_servers).chain(of_data).chain([restarts]).collect()
}

async fn short(context: Context, workload: Workload, faults: Faults) -> Result<(), Failure> {
    if workload == Workload::Topic && !context.info()?.topics {
        return Err(Failure::ignored("the backend has no topics"));
    }
    let verdict = play(&context, workload, SEED, LENGTH, faults).await?;
    verdict.into_result().map(drop).map_err(Failure::new)
}

/// One run on the backend of `context`.
pub(crate) async fn play(
    context: &Context,
    workload: Workload,
    seed: u64,
    length: Duration,
    faults: Faults,
) -> Result<Verdict, Failure> {
    let session = context.session("timing").await?;
    let (ttl, expires) = (session.ttl().unwrap_or(context.ttl()), session.ttl().is_some());
    session.close().await?;
    let timing = Timing { ttl, expires, ..Timing::default() };
    let processes = if faults == Faults::Restarts { (6, 8) } else { (3, 2) };
    let plan = Plan { workload, seed, length, processes, timing };
    let environment: Box<dyn Environment> = match context.has_processes() {
        true => Box::new(BackendEnvironment::new(context.clone(), faults).await?),
        // A fault of the memory server affects all its clients, so each run has its own server.
        false => {
            let environment = MemoryEnvironment::new(context.driver, context.namespace());
            Box::new(if faults == Faults::Restarts {
                environment.with_faults(&[FaultKind::RestartClients])
            } else {
                environment
            })
        }
    };
    let history = run(&plan, &*environment).await.map_err(Failure::new)?;
    Ok(judge(&plan, &history))
}
