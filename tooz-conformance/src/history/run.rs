//! One run: clients at work, faults from the schedule, a disturbances time, and a look at what is left.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tooz_core::{Coordinator, Error};

use super::client_id::OUTSIDE;
use super::environment::Environment;
use super::event::{Act, History};
use super::fault::FaultKind;
use super::plan::Plan;
use super::recorder::Recorder;
use super::remove::remove;
use super::workload::{OBJECTS, PERMITS, ProcessPlan, Workload, object_name};

/// Carries out `plan` at `environment`.
///
/// # Errors
/// The environment itself fails: that says nothing of the driver.
pub async fn run(plan: &Plan, environment: &dyn Environment) -> Result<History, String> {
    let recorder = Recorder::in_memory();
    prepare(plan, environment).await.map_err(|error| format!("failed to prepare the run: {error}"))?;
    let began = recorder.now();
    let after = |duration: Duration| began + u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
    let settled = plan.length + plan.settling(environment);
    let plan_of_process = ProcessPlan {
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
        environment.play(ProcessPlan { clients, ..plan_of_process.clone() }, &recorder).await?;
    }
    harm(plan, environment, &recorder, began).await?;
    if plan.workload == Workload::Group {
        let coordinator = look(plan, || environment.builder("stage").connect()).await?;
        sleep_until(recorder.instant(plan_of_process.settled)).await;
        let members = look(plan, || members(&coordinator)).await?;
        recorder.note(OUTSIDE, Act::Members(members));
        coordinator.close().await;
    }
    let elsewhere = environment.finish().await?;
    leftovers(plan, environment, &recorder).await?;
    let mut events = recorder.take();
    events.extend(elsewhere);
    Ok(History::new(events, plan.timing))
}

async fn prepare(plan: &Plan, environment: &dyn Environment) -> Result<(), Error> {
    if plan.workload == Workload::Group {
        let coordinator = environment.builder("stage").connect().await?;
        coordinator.group(object_name(0)).create_if_missing().await?;
        coordinator.close().await;
    }
    Ok(())
}

async fn harm(plan: &Plan, environment: &dyn Environment, recorder: &Recorder, began: u64) -> Result<(), String> {
    let start = recorder.instant(began);
    for planned in plan.schedule(&environment.kinds()) {
        sleep_until(start + planned.after).await;
        if start.elapsed() + planned.lasts > plan.length {
            // Those before took longer than planned, and this one would target into the disturbances time at the end.
            break;
        }
        if planned.fault.kind() == FaultKind::Remove {
            remove(plan.workload, environment, recorder).await;
            continue;
        }
        // From before it begins until it is surely over.
        recorder.note(OUTSIDE, Act::Fault(planned.fault.clone()));
        environment.begin(&planned.fault).await?;
        sleep(planned.lasts).await;
        environment.end(&planned.fault).await?;
        recorder.note(OUTSIDE, Act::Healed(planned.fault));
    }
    Ok(())
}

/// Looks again for a while when the backend has not come round yet.
async fn look<T, F>(plan: &Plan, mut question: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, Error>>,
{
    let limit = Instant::now() + plan.timing.settling();
    loop {
        match timeout(plan.timing.settling(), question()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if Instant::now() > limit => return Err(format!("the backend did not come back: {error}")),
            Err(_) => return Err("the backend did not come back".to_owned()),
            Ok(Err(_)) => sleep(plan.timing.ttl / 30).await,
        }
    }
}

async fn members(coordinator: &Coordinator) -> Result<Vec<String>, Error> {
    let members = coordinator.group(object_name(0)).members().await?;
    Ok(members.iter().map(|member| member.incarnation().to_string()).collect())
}

/// Counts what stands although all have gone; entries of killed processes get the time that they may take to expire.
async fn leftovers(plan: &Plan, environment: &dyn Environment, recorder: &Recorder) -> Result<(), String> {
    let limit = Instant::now() + plan.timing.settling();
    let objects = if plan.workload == Workload::Group { 1 } else { OBJECTS };
    for object in 0..objects {
        loop {
            let standing = look(plan, || async {
                let coordinator = environment.builder("stage").connect().await?;
                let standing = count(&coordinator, plan.workload, object).await;
                coordinator.close().await;
                standing
            });
            let standing = standing.await?;
            if standing == 0 || Instant::now() > limit {
                recorder.note(OUTSIDE, Act::Leftover(object, standing));
                break;
            }
            sleep(plan.timing.ttl / 30).await;
        }
    }
    Ok(())
}

async fn count(coordinator: &Coordinator, workload: Workload, object: u8) -> Result<usize, Error> {
    let name = object_name(object);
    let line = match workload {
        Workload::Topic => return Ok(0),
        Workload::Group => return Ok(coordinator.group(name).members().await?.len()),
        Workload::Election => coordinator.election(name).inspect().await?,
        Workload::Semaphore => coordinator.semaphore(name, PERMITS).inspect().await?,
        Workload::Lock | Workload::SharedLock => coordinator.lock(name).inspect().await?,
    };
    Ok(line.holders.len() + line.waiters.len())
}
