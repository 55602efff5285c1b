//! Short runs as trials of the suite, and the part that they share with long runs.

use std::time::Duration;

use super::backend_environment::BackendEnvironment;
use super::environment::Environment;
use super::memory_environment::MemoryEnvironment;
use super::plan::Plan;
use super::run::run;
use super::timing::Timing;
use super::verdict::{Verdict, judge};
use super::workload::Workload;
use crate::{Context, Failure, Needs, Trial};

/// How long the clients of a trial work, without the settling time at the end.
const LENGTH: Duration = Duration::from_secs(6);

/// The seed of the trials. `cargo xtask soak` draws others.
const SEED: u64 = 1;

pub(crate) fn trials() -> Vec<Trial> {
    let without_server_faults = Workload::ALL.map(|workload| {
        Trial::new(format!("history::{}", workload.as_str()), Needs::NOTHING, move |context| {
            short(context, workload, false)
        })
    });
    let with_server_faults = [Workload::Lock, Workload::Group, Workload::Topic].map(|workload| {
        Trial::new(format!("history::{}_while_servers_fail", workload.as_str()), Needs::OWN_SERVER, move |context| {
            short(context, workload, true)
        })
    });
    without_server_faults.into_iter().chain(with_server_faults).collect()
}

async fn short(context: Context, workload: Workload, with_server_faults: bool) -> Result<(), Failure> {
    if workload == Workload::Topic && !context.info()?.topics {
        return Err(Failure::ignored("the backend has no topics"));
    }
    let verdict = play(&context, workload, SEED, LENGTH, with_server_faults).await?;
    verdict.into_result().map(drop).map_err(Failure::new)
}

/// One run on the backend of `context`, with all faults that can be injected there.
pub(crate) async fn play(
    context: &Context,
    workload: Workload,
    seed: u64,
    length: Duration,
    with_server_faults: bool,
) -> Result<Verdict, Failure> {
    let session = context.session("timing").await?;
    let (ttl, expires) = (session.ttl().unwrap_or(context.ttl()), session.ttl().is_some());
    session.close().await?;
    let timing = Timing { ttl, expires, ..Timing::default() };
    let plan = Plan { workload, seed, length, processes: (3, 2), timing };
    let environment: Box<dyn Environment> = match context.has_processes() {
        true => Box::new(BackendEnvironment::new(context.clone(), with_server_faults).await?),
        // A fault of the memory server affects all its clients, so each run has its own server.
        false => Box::new(MemoryEnvironment::new(context.driver, context.namespace())),
    };
    let history = run(&plan, &*environment).await.map_err(Failure::new)?;
    Ok(judge(&plan, &history))
}
