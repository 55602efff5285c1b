//! Clients that take and leave locks, permits and leaderships, and those who observe who leads.

use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tooz_core::{Coordinator, Error, Guard, Leadership};

use super::kind::{OBJECTS, PERMITS, Workload, object_name};
use super::simulated_client::SimulatedClient;
use crate::history::event::{Act, Op, Request};

/// What is held.
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

/// Asks, holds and releases until the run is over.
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
        // Some clients vanish without a word, as far as a process that lives on can.
        if client.rng.random_bool(0.8) {
            coordinator.close().await;
        }
    }
}

async fn attempt(client: &mut SimulatedClient, coordinator: &Coordinator) {
    let op = client.next_op();
    let request = draw_request(client);
    // Some give up while they wait; all do when the run is over.
    let patience = match client.rng.random_bool(0.2) {
        true => Instant::now() + client.ttl().mul_f64(client.rng.random_range(0.0..0.2)),
        false => client.until(),
    };
    client.recorder.note(client.id, Act::Ask(op, request));
    let outcome =
        timeout_at(patience.min(client.until()), ask(coordinator, client.plan_of_process.workload, request)).await;
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
    // One object is wanted by most.
    let object = if client.rng.random_bool(0.75) { 0 } else { client.rng.random_range(0..OBJECTS) };
    let shared = client.plan_of_process.workload == Workload::SharedLock && client.rng.random_bool(0.6);
    let limit = if client.plan_of_process.workload == Workload::Semaphore { PERMITS } else { 1 };
    Request { object, shared, limit, waits: client.rng.random_bool(0.8) }
}

async fn ask(coordinator: &Coordinator, workload: Workload, request: Request) -> Result<Option<Held>, Error> {
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

/// Holds for a while and looks, all the time, whether it is still held; granted at the moment `at`.
async fn hold(client: &mut SimulatedClient, op: Op, held: Held, at: u64) {
    let guard = held.guard();
    if !guard.is_held() {
        client.recorder.note(client.id, Act::Failed(op, "lost before it was granted".to_owned()));
        return;
    }
    client.recorder.note_at(at, client.id, Act::Granted(op, guard.fencing_token().0));
    let end = Instant::now() + draw_hold(client);
    let look = client.ttl() / 600;
    while Instant::now() < end.min(client.until()) {
        tokio::select! {
            biased;
            cause = guard.lost() => {
                client.recorder.note(client.id, Act::Lost(op, cause.to_string()));
                return after_loss(client, held).await;
            }
            () = sleep_until((Instant::now() + look).min(end)) => {}
        }
        confirm(client, op, guard);
    }
    release(client, op, held).await;
}

/// The moment counts at which the question began: whatever delays us after it, it was held then if it is held now.
fn confirm(client: &SimulatedClient, op: Op, guard: &Guard) {
    let at = client.recorder.now();
    if guard.is_held() {
        client.recorder.note_at(at, client.id, Act::Held(op));
    }
}

fn draw_hold(client: &mut SimulatedClient) -> Duration {
    let plan_of_process = match client.rng.random_range(0..100) {
        0..90 => client.rng.random_range(0.0..0.005),
        90..97 => client.rng.random_range(0.0..0.1),
        97..99 => client.rng.random_range(0.0..0.5),
        _ => client.rng.random_range(0.5..1.5),
    };
    client.ttl().mul_f64(plan_of_process)
}

async fn after_loss(client: &mut SimulatedClient, held: Held) {
    match client.rng.random_bool(0.5) {
        true => drop(held),
        // A release of what was lost must not harm whoever holds it now.
        false => {
            let _ = held.release().await;
        }
    }
}

async fn release(client: &mut SimulatedClient, op: Op, held: Held) {
    confirm(client, op, held.guard());
    client.recorder.note(client.id, Act::Leave(op));
    let ours = match client.rng.random_range(0..10) {
        0..7 => match held.release().await {
            Ok(()) => Some(true),
            Err(error) if error.is_retryable() => None,
            Err(_) => Some(false),
        },
        7..9 => {
            drop(held);
            None
        }
        // Given up half-way, it goes on in the background.
        _ => {
            let _ = tokio::time::timeout(client.ttl() / 3000, held.release()).await;
            None
        }
    };
    client.recorder.note(client.id, Act::Left(op, ours));
}

/// Observes who leads until all has settled.
pub(super) async fn observe(client: &mut SimulatedClient) {
    let Some(coordinator) = client.connect(client.settled()).await else { return };
    let mut observation = coordinator.election(object_name(0)).observe();
    while let Ok(seen) = timeout_at(client.settled(), observation.next()).await {
        match seen {
            Ok(leader) => {
                let leader = leader.map(|leader| (leader.member.to_string(), leader.term.0));
                client.recorder.note(client.id, Act::ObservedLeader(leader));
            }
            Err(error) => {
                client.recorder.note(client.id, Act::UnexpectedError(error.to_string()));
                break;
            }
        }
    }
    coordinator.close().await;
}
