//! The users of a schedule: members that contend for one lock, one that closes, the weather, and the end of it all.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{Either, select};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use tooz_core::{Coordinator, Error, Guard, Registry, Result};

use super::network;
use super::world::{TTL, Tally, Weather, World, draw, pause};

const MEMBERS: [&str; 3] = ["a", "b", "c"];

/// One schedule, from the first session to the last.
pub(crate) fn meet(weather: Weather, tally: &Arc<Tally>) {
    let (world, requests) = World::new(weather, tally.clone());
    let entered = world.runtime.enter();
    network::enter(Some(world.clone()));
    let over = Arc::new(AtomicBool::new(false));
    let carrying = spawn(network::carry(requests));
    let polling = spawn(until(over.clone(), world.clone(), |world| world.pump()));
    block_on(async {
        let mut members = Vec::new();
        for member in MEMBERS {
            members.push((member, connect(member).await));
        }
        live_through(&world, &members).await;
        world.server.heal();
        world.settle(|| world.server.entry_count() == 0).await;
        // The sessions live on, so what was not removed would stand for ever.
        assert_eq!(world.server.entry_count(), 0, "an entry was left behind");
        for (member, coordinator) in members {
            world.closing(member);
            drop(coordinator);
        }
        world.settle(|| world.sessions_open() == 0).await;
        assert_eq!(world.sessions_open(), 0, "a session was left behind");
        // Time for renewals that should not be.
        world.advance(TTL);
        pause(20).await;
        over.store(true, Ordering::Relaxed);
        join([polling]).await;
    });
    network::enter(None);
    drop((carrying, entered));
}

async fn connect(member: &str) -> Coordinator {
    let builder = Coordinator::builder("interleaved://here").member(member).ttl(TTL);
    let connected = builder.registry(Registry::with([network::DRIVER])).connect().await;
    connected.expect("nothing is wrong before the weather begins")
}

/// All that happens while the members are there.
async fn live_through(world: &Arc<World>, members: &[(&'static str, Coordinator)]) {
    let over = Arc::new(AtomicBool::new(false));
    let weather = match world.weather {
        Weather::Fair => spawn(fair(over.clone(), world.clone())),
        Weather::Foul => spawn(foul(over.clone(), world.clone())),
    };
    let mut users = Vec::new();
    for (member, coordinator) in members {
        users.push(spawn(contend(world.clone(), member, coordinator.clone())));
        if draw(6) == 0 {
            users.push(spawn(close(world.clone(), member, coordinator.clone())));
        }
    }
    join(users).await;
    over.store(true, Ordering::Relaxed);
    join([weather]).await;
}

async fn join(tasks: impl IntoIterator<Item = JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("no task is aborted");
    }
}

async fn until(over: Arc<AtomicBool>, world: Arc<World>, act: impl Fn(&World)) {
    while !over.load(Ordering::Relaxed) {
        act(&world);
        yield_now().await;
    }
}

async fn contend(world: Arc<World>, member: &'static str, coordinator: Coordinator) {
    let lock = coordinator.lock("l");
    for _ in 0..3 {
        let granted = match draw(4) {
            0 => give_up(&world, lock.acquire()).await,
            1 => give_up(&world, async { lock.try_acquire().await.transpose() }).await.flatten(),
            2 => Some(lock.acquire_timeout(TTL).await),
            _ => Some(lock.acquire().await),
        };
        if let Some(Ok(guard)) = granted {
            hold(&world, member, guard).await;
        }
        pause(4).await;
    }
}

/// Drops `attempt` unless it is over soon.
async fn give_up<T>(world: &World, attempt: impl Future<Output = T>) -> Option<T> {
    match select(Box::pin(attempt), Box::pin(pause(16))).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => {
            Tally::count(&world.tally.given_up);
            None
        }
    }
}

/// Holds the guard for a while, and gives it back in one of the ways that there are.
async fn hold(world: &World, member: &'static str, guard: Guard) {
    let guard = world.believed(member, guard);
    // Some hold for as long as an outage takes.
    let patience = if world.weather == Weather::Foul && draw(4) == 0 { 600 } else { 60 };
    let lost = match select(Box::pin(guard.lost()), Box::pin(pause(patience))).await {
        Either::Left((cause, _)) => Some(cause),
        Either::Right(_) => None,
    };
    if let Some(cause) = &lost {
        world.told(member, cause);
        assert!(!guard.is_held(), "a guard is held again after its loss was told");
        pause(24).await;
    }
    let guard = Arc::into_inner(guard).expect("nobody else keeps it");
    let released = match draw(3) {
        0 => None,
        1 => give_up(world, guard.release()).await,
        _ => Some(guard.release().await),
    };
    match released {
        None => Tally::count(&world.tally.dropped),
        Some(outcome) => note_release(world, member, outcome, lost.as_ref()),
    }
}

fn note_release(world: &World, member: &str, outcome: Result<()>, lost: Option<&Error>) {
    match outcome {
        Ok(()) => {
            assert!(lost.is_none(), "a release says that it was ours after the loss was told");
            Tally::count(&world.tally.released);
        }
        Err(cause) => world.told(member, &cause),
    }
}

async fn close(world: Arc<World>, member: &'static str, coordinator: Coordinator) {
    pause(120).await;
    world.closing(member);
    coordinator.close().await;
    Tally::count(&world.tally.closed);
}

/// Time passes in steps that leave room for several renewals before the deadline, once each request is answered.
async fn fair(over: Arc<AtomicBool>, world: Arc<World>) {
    while !over.load(Ordering::Relaxed) {
        for _ in 0..12 {
            world.pump();
            yield_now().await;
        }
        if world.is_quiet() {
            world.advance(TTL / 20);
        }
    }
}

async fn foul(over: Arc<AtomicBool>, world: Arc<World>) {
    while !over.load(Ordering::Relaxed) {
        pause(24).await;
        match draw(12) {
            0 | 1 => outage(&over, &world).await,
            2 if draw(8) == 0 => world.forced(MEMBERS[draw(3) as usize]),
            3 => world.advance(TTL),
            4 | 5 => world.advance(TTL / 3),
            _ => world.advance(TTL / 50),
        }
    }
}

/// A member is cut off for longer than the TTL, in steps small enough to stop between the deadline and what the server does.
async fn outage(over: &AtomicBool, world: &World) {
    world.server.partition(MEMBERS[draw(3) as usize]).expect("the name is valid");
    for _ in 0..50 {
        if !over.load(Ordering::Relaxed) {
            pause(12).await;
            world.advance(TTL / 40);
        }
    }
    world.server.heal();
}
