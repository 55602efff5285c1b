//! Clients that acquire and release locks, permits and leaderships, and clients that observe elections.

use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tooz_core::{Coordinator, Error, Guard, Leadership};

use super::kind::{OBJECTS, PERMITS, Workload, object_name};
use super::simulated_client::SimulatedClient;
use crate::history::event::{Act, Op, Request};

/// What a client holds.
enum Held {
    Guard(Guard),
    Leadership(Leadership),
}

impl Held {
    fn guard(&self) -> &Guard {
        match self {
            Self::Guard(guard) => guard,
            Self::Leadership(leadership) => leadership,
        }
    }

    async fn release(self) -> Result<(), Error> {
        match self {
            Self::Guard(guard) => guard.release().await,
            Self::Leadership(leadership) => leadership.resign().await,
        }
    }
}

/// Requests, holds and releases until the run is over.
pub(super) async fn acquire_and_release(client: &mut SimulatedClient) {
    while !client.is_over() {
        let Some(coordinator) = client.connect(client.until()).await else { return };
        for _ in 0..client.rng.random_range(5..200) {
            if client.is_over() {
                break;
            }
            attempt(client, &coordinator).await;
            let pause = client.rng.random_range(0.0..0.004);
            sleep(client.ttl().mul_f64(pause)).await;
        }
        // Some clients end without closing their session.
        if client.rng.random_bool(0.8) {
            coordinator.close().await;
        }
    }
}

async fn attempt(client: &mut SimulatedClient, coordinator: &Coordinator) {
    let op = client.next_op();
    let request = draw_request(client);
    // Some requests time out while they wait. All do at the end of the run.
    let patience = match client.rng.random_bool(0.2) {
        true => Instant::now() + client.ttl().mul_f64(client.rng.random_range(0.0..0.2)),
        false => client.until(),
    };
    client.recorder.note(client.id, Act::Ask(op, request));
    let outcome = timeout_at(patience.min(client.until()), acquire(coordinator, client.plan.workload, request)).await;
    let at = client.recorder.now();
    let act = match outcome {
        Ok(Ok(Some(held))) => return hold(client, op, held, at).await,
        Ok(Ok(None)) => Act::Refused(op),
        Ok(Err(error)) => Act::Failed(op, error.to_string()),
        Err(_) => Act::Cancelled(op),
    };
    let failed = matches!(act, Act::Failed(..));
    client.recorder.note(client.id, act);
    if failed {
        sleep(client.ttl() / 60).await;
    }
}

fn draw_request(client: &mut SimulatedClient) -> Request {
    // Most requests are for one object.
    let object = if client.rng.random_bool(0.75) { 0 } else { client.rng.random_range(0..OBJECTS) };
    let shared = client.plan.workload == Workload::SharedLock && client.rng.random_bool(0.6);
    let limit = if client.plan.workload == Workload::Semaphore { PERMITS } else { 1 };
    Request { object, shared, limit, waits: client.rng.random_bool(0.8) }
}

async fn acquire(coordinator: &Coordinator, workload: Workload, request: Request) -> Result<Option<Held>, Error> {
    let name = object_name(request.object);
    Ok(match (workload, request.waits) {
        (Workload::Election, true) => Some(Held::Leadership(coordinator.election(name).campaign().await?)),
        (Workload::Election, false) => coordinator.election(name).try_campaign().await?.map(Held::Leadership),
        (Workload::Semaphore, true) => Some(Held::Guard(coordinator.semaphore(name, request.limit).acquire().await?)),
        (Workload::Semaphore, false) => {
            coordinator.semaphore(name, request.limit).try_acquire().await?.map(Held::Guard)
        }
        (_, waits) => {
            let lock = coordinator.lock(name);
            let lock = if request.shared { lock.shared() } else { lock };
            match waits {
                true => Some(Held::Guard(lock.acquire().await?)),
                false => lock.try_acquire().await?.map(Held::Guard),
            }
        }
    })
}

/// Holds for a while and checks often whether it still holds. `at` is the time of the grant.
async fn hold(client: &mut SimulatedClient, op: Op, held: Held, at: u64) {
    let guard = held.guard();
    if !guard.is_held() {
        client.recorder.note(client.id, Act::Failed(op, "lost before it was granted".to_owned()));
        return;
    }
    client.recorder.note_at(at, client.id, Act::Granted(op, guard.fencing_token().0));
    let end = Instant::now() + draw_hold(client);
    let pause = client.ttl() / 600;
    while Instant::now() < end.min(client.until()) {
        tokio::select! {
            biased;
            cause = guard.lost() => {
                client.recorder.note(client.id, Act::Lost(op, cause.to_string()));
                return after_loss(client, held).await;
            }
            () = sleep_until((Instant::now() + pause).min(end)) => {}
        }
        record_if_held(client, op, guard);
    }
    release(client, op, held).await;
}

/// The recorded time is the start of the check: if the client holds afterwards, it held then.
fn record_if_held(client: &SimulatedClient, op: Op, guard: &Guard) {
    let at = client.recorder.now();
    if guard.is_held() {
        client.recorder.note_at(at, client.id, Act::Held(op));
    }
}

fn draw_hold(client: &mut SimulatedClient) -> Duration {
    let plan = match client.rng.random_range(0..100) {
        0..90 => client.rng.random_range(0.0..0.005),
        90..97 => client.rng.random_range(0.0..0.1),
        97..99 => client.rng.random_range(0.0..0.5),
        _ => client.rng.random_range(0.5..1.5),
    };
    client.ttl().mul_f64(plan)
}

async fn after_loss(client: &mut SimulatedClient, held: Held) {
    match client.rng.random_bool(0.5) {
        true => drop(held),
        // Releasing a lost lock must not affect its next holder.
        false => {
            let _ = held.release().await;
        }
    }
}

async fn release(client: &mut SimulatedClient, op: Op, held: Held) {
    record_if_held(client, op, held.guard());
    client.recorder.note(client.id, Act::Leave(op));
    let held_until_release = match client.rng.random_range(0..10) {
        0..7 => match held.release().await {
            Ok(()) => Some(true),
            Err(error) if error.is_retryable() => None,
            Err(_) => Some(false),
        },
        7..9 => {
            drop(held);
            None
        }
        // A release that is dropped half-way continues in the background.
        _ => {
            let _ = tokio::time::timeout(client.ttl() / 3000, held.release()).await;
            None
        }
    };
    client.recorder.note(client.id, Act::Left(op, held_until_release));
}

/// Observes the election until the settling time is over.
pub(super) async fn observe(client: &mut SimulatedClient) {
    let Some(coordinator) = client.connect(client.settled()).await else { return };
    let mut observation = coordinator.election(object_name(0)).observe();
    let end = loop {
        match timeout_at(client.settled(), observation.next()).await {
            Ok(Ok(leader)) => {
                let leader = leader.map(|leader| (leader.member.to_string(), leader.term.0));
                client.recorder.note(client.id, Act::ObservedLeader(leader));
            }
            Ok(Err(error)) => break Act::UnexpectedError(error.to_string()),
            Err(_) => break Act::ObservedToTheEnd,
        }
    };
    client.recorder.note(client.id, end);
    coordinator.close().await;
}
