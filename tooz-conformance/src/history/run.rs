//! One run: clients work, faults follow the schedule, everything settles, and the leftovers are counted.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tooz_core::{Coordinator, Error};

use super::client_id::OUTSIDE;
use super::environment::Environment;
use super::event::{Act, History};
use super::fault::FaultKind;
use super::neighbour::disturb;
use super::plan::Plan;
use super::recorder::Recorder;
use super::remove::remove;
use super::workload::{OBJECTS, PERMITS, ProcessPlan, Workload, object_name};

/// How long the run itself waits for an answer: longer than any client. The rules about promptness hold for clients only.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause before the run asks again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Carries out `plan` in `environment`.
///
/// # Errors
/// The environment fails. That says nothing about the driver.
pub async fn run(plan: &Plan, environment: &dyn Environment) -> Result<History, String> {
    let recorder = Recorder::in_memory(plan.timing.real_time);
    prepare(plan, environment).await.map_err(|error| format!("failed to prepare the run: {error}"))?;
    if environment.kinds().contains(&FaultKind::Restore) {
        environment.save().await?;
    }
    let began = recorder.now();
    let after = |duration: Duration| began + u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
    let settled = plan.length + plan.settling(environment);
    let process = ProcessPlan {
        workload: plan.workload,
        seed: plan.seed,
        clients: Vec::new(),
        ttl: plan.timing.ttl,
        until: after(plan.length),
        settled: after(settled),
        over: after(settled + plan.timing.ttl),
        real_time: plan.timing.real_time,
    };
    for clients in plan.groups() {
        environment.play(ProcessPlan { clients, ..process.clone() }, &recorder).await?;
    }
    inject_faults(plan, environment, &recorder, began).await?;
    match plan.workload {
        Workload::Group => record_members(environment, &recorder, &process).await?,
        Workload::Election => lead_to_the_end(plan, environment, &recorder, &process).await?,
        _ => {}
    }
    let recorded = environment.finish().await?;
    leftovers(plan, environment, &recorder).await?;
    let mut events = recorder.take();
    events.extend(recorded);
    Ok(History::new(events, plan.timing))
}

async fn prepare(plan: &Plan, environment: &dyn Environment) -> Result<(), Error> {
    if plan.workload == Workload::Group {
        let coordinator = environment.builder("run").connect().await?;
        coordinator.group(object_name(0)).create_if_missing().await?;
        coordinator.close().await;
    }
    Ok(())
}

async fn inject_faults(
    plan: &Plan,
    environment: &dyn Environment,
    recorder: &Recorder,
    began: u64,
) -> Result<(), String> {
    let start = recorder.instant(began);
    for planned in plan.schedule(&environment.kinds()) {
        sleep_until(start + planned.after).await;
        if start.elapsed() + planned.lasts > plan.length {
            // The previous faults took longer than planned, so this one would reach into the settling time.
            break;
        }
        match planned.fault.kind() {
            FaultKind::Remove => {
                remove(plan.workload, environment, recorder).await;
                continue;
            }
            FaultKind::Neighbour => {
                recorder.note(OUTSIDE, Act::Fault(planned.fault.clone()));
                disturb(plan.workload, environment, recorder).await;
                recorder.note(OUTSIDE, Act::Healed(planned.fault));
                continue;
            }
            _ => {}
        }
        // The record covers the fault from before its start to after its end.
        recorder.note(OUTSIDE, Act::Fault(planned.fault.clone()));
        environment.begin(&planned.fault).await?;
        sleep(planned.lasts).await;
        environment.end(&planned.fault).await?;
        let begins_a_history = planned.fault.kind().begins_a_history();
        recorder.note(OUTSIDE, Act::Healed(planned.fault));
        if begins_a_history {
            // An operator would create the group again. A backup contains it, an empty server does not.
            ask(|| prepare(plan, environment)).await?;
        }
    }
    Ok(())
}

/// Records the members that a client without faults sees when everything has settled.
async fn record_members(
    environment: &dyn Environment,
    recorder: &Recorder,
    process: &ProcessPlan,
) -> Result<(), String> {
    let coordinator = ask(|| environment.builder("run").connect()).await?;
    sleep_until(recorder.instant(process.settled)).await;
    let members = ask(|| members(&coordinator)).await?;
    // On a slow machine the members may have left before the answer.
    if recorder.now() < process.over {
        recorder.note(OUTSIDE, Act::Members(members));
    }
    coordinator.close().await;
    Ok(())
}

/// Leads from the end of the last candidate until all observers have ended.
async fn lead_to_the_end(
    plan: &Plan,
    environment: &dyn Environment,
    recorder: &Recorder,
    process: &ProcessPlan,
) -> Result<(), String> {
    sleep_until(recorder.instant(process.until)).await;
    let coordinator = ask(|| environment.builder("run").ttl(plan.timing.ttl).connect()).await?;
    let election = coordinator.election(object_name(0));
    let leadership = ask(|| election.campaign()).await?;
    let since = recorder.now();
    sleep_until(recorder.instant(process.settled) + plan.timing.ttl / 3).await;
    // On a slow machine the run may have lost its own session.
    if leadership.is_held() {
        recorder.note_at(since, OUTSIDE, Act::Leads(leadership.term().0));
    }
    // The leftovers are counted afterwards.
    let _ = leadership.resign().await;
    coordinator.close().await;
    Ok(())
}

/// Repeats a question while the backend recovers.
async fn ask<T, F>(mut question: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, Error>>,
{
    let limit = Instant::now() + PATIENCE;
    let mut reason = "no answer".to_owned();
    loop {
        match timeout_at(limit, question()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => return Err(format!("the backend did not come back within {PATIENCE:?}: {reason}")),
        }
        sleep(RETRY_INTERVAL).await;
    }
}

async fn members(coordinator: &Coordinator) -> Result<Vec<String>, Error> {
    let members = coordinator.group(object_name(0)).members().await?;
    Ok(members.iter().map(|member| member.incarnation().to_string()).collect())
}

/// Counts the entries that exist after all clients have ended. Entries of killed processes get the time to expire.
async fn leftovers(plan: &Plan, environment: &dyn Environment, recorder: &Recorder) -> Result<(), String> {
    let limit = Instant::now() + plan.timing.settling();
    let objects = if plan.workload == Workload::Group { 1 } else { OBJECTS };
    for object in 0..objects {
        loop {
            let counting = ask(|| async {
                let coordinator = environment.builder("run").connect().await?;
                let left = count(&coordinator, plan.workload, object).await;
                coordinator.close().await;
                left
            });
            let left = counting.await?;
            if left == 0 || Instant::now() > limit {
                recorder.note(OUTSIDE, Act::Leftover(object, left));
                break;
            }
            sleep(RETRY_INTERVAL).await;
        }
    }
    Ok(())
}

async fn count(coordinator: &Coordinator, workload: Workload, object: u8) -> Result<usize, Error> {
    let name = object_name(object);
    let queue = match workload {
        Workload::Topic => return Ok(0),
        Workload::Group => return Ok(coordinator.group(name).members().await?.len()),
        Workload::Election => coordinator.election(name).inspect().await?,
        Workload::Semaphore => coordinator.semaphore(name, PERMITS).inspect().await?,
        Workload::Lock | Workload::SharedLock => coordinator.lock(name).inspect().await?,
    };
    Ok(queue.holders.len() + queue.waiters.len())
}
