//! One run: clients at work, faults from the schedule, a quiet time, and a look at what is left.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tooz_core::driver::Session;
use tooz_core::{Builder, Coordinator, Error};

use super::event::{Act, Client, Event, History, OUTSIDE, Terms, onlooker};
use super::fault::{Fault, FaultKind, Planned, schedule};
use super::part::{OBJECTS, PERMITS, Part, Workload, object_name};
use super::recorder::Recorder;
use super::remove::remove;

/// Where a run takes place: how clients get there, and what can go wrong.
#[async_trait]
pub trait Site: Send + Sync {
    /// A client that is about to connect, unharmed by proxies and the like.
    fn builder(&self, member: &str) -> Builder;

    /// A session of the driver, unharmed as well. Nothing renews it.
    async fn session(&self) -> Result<Box<dyn Session>, Error>;

    /// What can go wrong here.
    fn kinds(&self) -> Vec<FaultKind>;

    /// Begins to play a part, in this process or another.
    async fn play(&self, part: Part, recorder: &Recorder) -> Result<(), String>;

    /// Makes a fault begin.
    async fn begin(&self, fault: &Fault) -> Result<(), String>;

    /// Ends it.
    async fn end(&self, fault: &Fault) -> Result<(), String>;

    /// Waits for all parts and returns what was recorded elsewhere than in this process.
    async fn finish(&self) -> Result<Vec<Event>, String>;
}

/// What a run does, all of it from the seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// With what.
    pub workload: Workload,
    /// What everything random is drawn from.
    pub seed: u64,
    /// For how long clients begin something new.
    pub length: Duration,
    /// How many processes there are, and how many clients in each.
    pub cast: (Client, Client),
    /// What is promised.
    pub terms: Terms,
}

impl Plan {
    fn groups(&self) -> Vec<Vec<Client>> {
        let (processes, each) = self.cast;
        let of = |process: Client| {
            let mut clients: Vec<_> = (process * each..(process + 1) * each).collect();
            // In a process that can be harmed, so that onlookers are harmed too.
            if self.workload.is_observed() && process < 2 {
                clients.push(onlooker(process.into()));
            }
            clients
        };
        (0..processes).map(of).collect()
    }

    /// For how long nothing is harmed at the end; a restart takes its time, too.
    fn settling(&self, site: &dyn Site) -> Duration {
        let restart = if site.kinds().contains(&FaultKind::RestartServer) { self.terms.ttl } else { Duration::ZERO };
        self.terms.settling() + restart
    }

    /// The faults that this plan has at a site with these kinds.
    pub fn schedule(&self, kinds: &[FaultKind]) -> Vec<Planned> {
        schedule(self.seed, kinds, &self.groups(), self.length, self.terms.ttl)
    }
}

/// Carries out `plan` at `site`.
///
/// # Errors
/// The site itself fails: that says nothing of the driver.
pub async fn run(plan: &Plan, site: &dyn Site) -> Result<History, String> {
    let recorder = Recorder::in_memory();
    prepare(plan, site).await.map_err(|error| format!("failed to prepare the run: {error}"))?;
    let began = recorder.now();
    let after = |duration: Duration| began + u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
    let settled = plan.length + plan.settling(site);
    let part = Part {
        workload: plan.workload,
        seed: plan.seed,
        clients: Vec::new(),
        ttl: plan.terms.ttl,
        until: after(plan.length),
        settled: after(settled),
        over: after(settled + plan.terms.ttl),
        real_time: plan.terms.real_time,
    };
    for clients in plan.groups() {
        site.play(Part { clients, ..part.clone() }, &recorder).await?;
    }
    harm(plan, site, &recorder, began).await?;
    if plan.workload == Workload::Group {
        let coordinator = look(plan, || site.builder("stage").connect()).await?;
        sleep_until(recorder.instant(part.settled)).await;
        let members = look(plan, || members(&coordinator)).await?;
        recorder.note(OUTSIDE, Act::Members(members));
        coordinator.close().await;
    }
    let elsewhere = site.finish().await?;
    leftovers(plan, site, &recorder).await?;
    let mut events = recorder.take();
    events.extend(elsewhere);
    Ok(History::new(events, plan.terms))
}

async fn prepare(plan: &Plan, site: &dyn Site) -> Result<(), Error> {
    if plan.workload == Workload::Group {
        let coordinator = site.builder("stage").connect().await?;
        coordinator.group(object_name(0)).create_if_missing().await?;
        coordinator.close().await;
    }
    Ok(())
}

async fn harm(plan: &Plan, site: &dyn Site, recorder: &Recorder, began: u64) -> Result<(), String> {
    let start = recorder.instant(began);
    for planned in plan.schedule(&site.kinds()) {
        sleep_until(start + planned.after).await;
        if start.elapsed() + planned.lasts > plan.length {
            // Those before took longer than planned, and this one would reach into the quiet time at the end.
            break;
        }
        if planned.fault.kind() == FaultKind::Remove {
            remove(plan.workload, site, recorder).await;
            continue;
        }
        // From before it begins until it is surely over.
        recorder.note(OUTSIDE, Act::Fault(planned.fault.clone()));
        site.begin(&planned.fault).await?;
        sleep(planned.lasts).await;
        site.end(&planned.fault).await?;
        recorder.note(OUTSIDE, Act::Healed(planned.fault));
    }
    Ok(())
}

/// Looks again for a while when the backend has not come round yet.
async fn look<T, F>(plan: &Plan, mut question: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, Error>>,
{
    let limit = Instant::now() + plan.terms.settling();
    loop {
        match timeout(plan.terms.settling(), question()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if Instant::now() > limit => return Err(format!("the backend did not come back: {error}")),
            Err(_) => return Err("the backend did not come back".to_owned()),
            Ok(Err(_)) => sleep(plan.terms.ttl / 30).await,
        }
    }
}

async fn members(coordinator: &Coordinator) -> Result<Vec<String>, Error> {
    let members = coordinator.group(object_name(0)).members().await?;
    Ok(members.iter().map(|member| member.incarnation().to_string()).collect())
}

/// Counts what stands although all have gone; entries of killed processes get the time that they may take to expire.
async fn leftovers(plan: &Plan, site: &dyn Site, recorder: &Recorder) -> Result<(), String> {
    let limit = Instant::now() + plan.terms.settling();
    let objects = if plan.workload == Workload::Group { 1 } else { OBJECTS };
    for object in 0..objects {
        loop {
            let standing = look(plan, || async {
                let coordinator = site.builder("stage").connect().await?;
                let standing = count(&coordinator, plan.workload, object).await;
                coordinator.close().await;
                standing
            });
            let standing = standing.await?;
            if standing == 0 || Instant::now() > limit {
                recorder.note(OUTSIDE, Act::Leftover(object, standing));
                break;
            }
            sleep(plan.terms.ttl / 30).await;
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
