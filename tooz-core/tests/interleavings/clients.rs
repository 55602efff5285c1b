//! The clients of a schedule: members that contend for one lock and release it in different ways, and the faults.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{Either, select};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use tooz_core::{Coordinator, Error, Guard, Registry, Result};

use super::network;
use super::simulation::{Coverage, Faults, Simulation, TTL, random_below, yield_at_most};

const MEMBERS: [&str; 3] = ["a", "b", "c"];

/// Runs one schedule, from the first session to the last.
pub(crate) fn run_schedule(faults: Faults, coverage: &Arc<Coverage>) {
    let (simulation, requests) = Simulation::new(faults, coverage.clone());
    let entered = simulation.runtime.enter();
    network::connect_to(Some(simulation.clone()));
    let over = Arc::new(AtomicBool::new(false));
    let delivering = spawn(network::deliver(requests));
    let polling = spawn(poll_until(over.clone(), simulation.clone()));
    block_on(async {
        let mut members = Vec::new();
        for member in MEMBERS {
            members.push((member, connect(member).await));
        }
        run_clients(&simulation, &members).await;
        simulation.server.heal();
        simulation.settle(|| simulation.server.entry_count() == 0).await;
        // The sessions are still alive, so an entry that nothing removes would stay.
        assert_eq!(simulation.server.entry_count(), 0, "an entry remains");
        for (member, coordinator) in members {
            simulation.begin_close(member);
            drop(coordinator);
        }
        simulation.settle(|| simulation.open_sessions() == 0).await;
        assert_eq!(simulation.open_sessions(), 0, "a session remains");
        // Leaves time for renewals that must not happen.
        simulation.advance(TTL);
        yield_at_most(20).await;
        over.store(true, Ordering::Relaxed);
        join([polling]).await;
    });
    network::connect_to(None);
    drop((delivering, entered));
}

async fn connect(member: &str) -> Coordinator {
    let builder = Coordinator::builder("interleaved://here").member(member).ttl(TTL);
    let connected = builder.registry(Registry::with([network::DRIVER])).connect().await;
    connected.expect("no fault happens before the clients start")
}

/// Runs the clients of all members, with or without faults, until each has finished.
async fn run_clients(simulation: &Arc<Simulation>, members: &[(&'static str, Coordinator)]) {
    let over = Arc::new(AtomicBool::new(false));
    let clock = match simulation.faults {
        Faults::None => spawn(advance_when_quiet(over.clone(), simulation.clone())),
        Faults::Injected => spawn(inject_faults(over.clone(), simulation.clone())),
    };
    let mut clients = Vec::new();
    for (member, coordinator) in members {
        clients.push(spawn(contend(simulation.clone(), member, coordinator.clone())));
        if random_below(6) == 0 {
            clients.push(spawn(close(simulation.clone(), member, coordinator.clone())));
        }
    }
    join(clients).await;
    over.store(true, Ordering::Relaxed);
    join([clock]).await;
}

async fn join(tasks: impl IntoIterator<Item = JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("no task is aborted");
    }
}

async fn poll_until(over: Arc<AtomicBool>, simulation: Arc<Simulation>) {
    while !over.load(Ordering::Relaxed) {
        simulation.poll_runtime();
        yield_now().await;
    }
}

async fn contend(simulation: Arc<Simulation>, member: &'static str, coordinator: Coordinator) {
    let lock = coordinator.lock("l");
    for _ in 0..3 {
        let granted = match random_below(4) {
            0 => cancel_after_a_while(&simulation, lock.acquire()).await,
            1 => cancel_after_a_while(&simulation, async { lock.try_acquire().await.transpose() }).await.flatten(),
            2 => Some(lock.acquire_timeout(TTL).await),
            _ => Some(lock.acquire().await),
        };
        if let Some(Ok(guard)) = granted {
            hold(&simulation, member, guard).await;
        }
        yield_at_most(4).await;
    }
}

/// Drops `attempt` unless it finishes soon.
async fn cancel_after_a_while<T>(simulation: &Simulation, attempt: impl Future<Output = T>) -> Option<T> {
    match select(Box::pin(attempt), Box::pin(yield_at_most(16))).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => {
            Coverage::count(&simulation.coverage.cancelled);
            None
        }
    }
}

/// Holds the guard for a while, then drops or releases it.
async fn hold(simulation: &Simulation, member: &'static str, guard: Guard) {
    let guard = simulation.guard_returned(member, guard);
    // Some clients hold the guard longer than an outage takes.
    let most_yields = if simulation.faults == Faults::Injected && random_below(4) == 0 { 600 } else { 60 };
    let lost = match select(Box::pin(guard.lost()), Box::pin(yield_at_most(most_yields))).await {
        Either::Left((cause, _)) => Some(cause),
        Either::Right(_) => None,
    };
    if let Some(cause) = &lost {
        simulation.loss_reported(member, cause);
        assert!(!guard.is_held(), "a guard is held again after it has reported its loss");
        yield_at_most(24).await;
    }
    let guard = Arc::into_inner(guard).expect("this client has the only reference");
    let released = match random_below(3) {
        0 => None,
        1 => cancel_after_a_while(simulation, guard.release()).await,
        _ => Some(guard.release().await),
    };
    match released {
        None => Coverage::count(&simulation.coverage.dropped),
        Some(outcome) => check_release(simulation, member, outcome, lost.as_ref()),
    }
}

fn check_release(simulation: &Simulation, member: &str, outcome: Result<()>, lost: Option<&Error>) {
    match outcome {
        Ok(()) => {
            assert!(lost.is_none(), "a release succeeds although the guard has reported its loss");
            Coverage::count(&simulation.coverage.released);
        }
        Err(cause) => simulation.loss_reported(member, &cause),
    }
}

async fn close(simulation: Arc<Simulation>, member: &'static str, coordinator: Coordinator) {
    yield_at_most(120).await;
    simulation.begin_close(member);
    coordinator.close().await;
    Coverage::count(&simulation.coverage.closed);
}

/// Advances the clock only while no request is under way, in steps that are small compared with the heartbeat.
async fn advance_when_quiet(over: Arc<AtomicBool>, simulation: Arc<Simulation>) {
    while !over.load(Ordering::Relaxed) {
        for _ in 0..12 {
            simulation.poll_runtime();
            yield_now().await;
        }
        if simulation.is_quiet() {
            simulation.advance(TTL / 20);
        }
    }
}

/// Advances the clock at any time, ends sessions and cuts members off.
async fn inject_faults(over: Arc<AtomicBool>, simulation: Arc<Simulation>) {
    while !over.load(Ordering::Relaxed) {
        yield_at_most(24).await;
        match random_below(12) {
            0 | 1 => cut_off_a_member(&over, &simulation).await,
            2 if random_below(8) == 0 => simulation.expire(MEMBERS[random_below(3) as usize]),
            3 => simulation.advance(TTL),
            4 | 5 => simulation.advance(TTL / 3),
            _ => simulation.advance(TTL / 50),
        }
    }
}

/// Cuts a member off for longer than the TTL. The steps are small enough to stop between the deadline of the guard and
/// the expiry at the server.
async fn cut_off_a_member(over: &AtomicBool, simulation: &Simulation) {
    simulation.server.partition(MEMBERS[random_below(3) as usize]).expect("the name is valid");
    for _ in 0..50 {
        if !over.load(Ordering::Relaxed) {
            yield_at_most(12).await;
            simulation.advance(TTL / 40);
        }
    }
    simulation.server.heal();
}
