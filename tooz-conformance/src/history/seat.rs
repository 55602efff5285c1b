//! Clients that take and leave locks, permits and leaderships, and those who observe who leads.

use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tooz_core::{Coordinator, Error, Guard, Leadership};

use super::event::{Act, Op, Wish};
use super::part::{OBJECTS, PERMITS, Player, Workload, object_name};

/// What is held.
enum Seat {
    Guard(Guard),
    Leadership(Leadership),
}

impl Seat {
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
pub(super) async fn take_and_leave(player: &mut Player) {
    while !player.is_over() {
        let Some(coordinator) = player.connect(player.until()).await else { return };
        for _ in 0..player.rng.random_range(5..200) {
            if player.is_over() {
                break;
            }
            attempt(player, &coordinator).await;
            let pause = player.rng.random_range(0.0..0.004);
            sleep(player.ttl().mul_f64(pause)).await;
        }
        // Some clients vanish without a word, as far as a process that lives on can.
        if player.rng.random_bool(0.8) {
            coordinator.close().await;
        }
    }
}

async fn attempt(player: &mut Player, coordinator: &Coordinator) {
    let op = player.next_op();
    let wish = draw_wish(player);
    // Some give up while they wait; all do when the run is over.
    let patience = match player.rng.random_bool(0.2) {
        true => Instant::now() + player.ttl().mul_f64(player.rng.random_range(0.0..0.2)),
        false => player.until(),
    };
    player.recorder.note(player.id, Act::Ask(op, wish));
    let outcome = timeout_at(patience.min(player.until()), ask(coordinator, player.part.workload, wish)).await;
    let at = player.recorder.now();
    let act = match outcome {
        Ok(Ok(Some(seat))) => return hold(player, op, seat, at).await,
        Ok(Ok(None)) => Act::Refused(op),
        Ok(Err(error)) => Act::Failed(op, error.to_string()),
        Err(_) => Act::Cancelled(op),
    };
    let failed = matches!(act, Act::Failed(..));
    player.recorder.note(player.id, act);
    if failed {
        sleep(player.ttl() / 60).await;
    }
}

fn draw_wish(player: &mut Player) -> Wish {
    // One object is wanted by most.
    let object = if player.rng.random_bool(0.75) { 0 } else { player.rng.random_range(0..OBJECTS) };
    let shared = player.part.workload == Workload::SharedLock && player.rng.random_bool(0.6);
    let limit = if player.part.workload == Workload::Semaphore { PERMITS } else { 1 };
    Wish { object, shared, limit, waits: player.rng.random_bool(0.8) }
}

async fn ask(coordinator: &Coordinator, workload: Workload, wish: Wish) -> Result<Option<Seat>, Error> {
    let name = object_name(wish.object);
    Ok(match (workload, wish.waits) {
        (Workload::Election, true) => Some(Seat::Leadership(coordinator.election(name).campaign().await?)),
        (Workload::Election, false) => coordinator.election(name).try_campaign().await?.map(Seat::Leadership),
        (Workload::Semaphore, true) => Some(Seat::Guard(coordinator.semaphore(name, wish.limit).acquire().await?)),
        (Workload::Semaphore, false) => coordinator.semaphore(name, wish.limit).try_acquire().await?.map(Seat::Guard),
        (_, waits) => {
            let lock = coordinator.lock(name);
            let lock = if wish.shared { lock.shared() } else { lock };
            match waits {
                true => Some(Seat::Guard(lock.acquire().await?)),
                false => lock.try_acquire().await?.map(Seat::Guard),
            }
        }
    })
}

/// Holds for a while and looks, all the time, whether it is still held; granted at the moment `at`.
async fn hold(player: &mut Player, op: Op, seat: Seat, at: u64) {
    let guard = seat.guard();
    if !guard.is_held() {
        player.recorder.note(player.id, Act::Failed(op, "lost before it was granted".to_owned()));
        return;
    }
    player.recorder.note_at(at, player.id, Act::Granted(op, guard.fencing_token().0));
    let end = Instant::now() + draw_hold(player);
    let look = player.ttl() / 600;
    while Instant::now() < end.min(player.until()) {
        tokio::select! {
            biased;
            cause = guard.lost() => {
                player.recorder.note(player.id, Act::Lost(op, cause.to_string()));
                return after_loss(player, seat).await;
            }
            () = sleep_until((Instant::now() + look).min(end)) => {}
        }
        confirm(player, op, guard);
    }
    release(player, op, seat).await;
}

/// The moment counts at which the question began: whatever delays us after it, it was held then if it is held now.
fn confirm(player: &Player, op: Op, guard: &Guard) {
    let at = player.recorder.now();
    if guard.is_held() {
        player.recorder.note_at(at, player.id, Act::Held(op));
    }
}

fn draw_hold(player: &mut Player) -> Duration {
    let part = match player.rng.random_range(0..100) {
        0..90 => player.rng.random_range(0.0..0.005),
        90..97 => player.rng.random_range(0.0..0.1),
        97..99 => player.rng.random_range(0.0..0.5),
        _ => player.rng.random_range(0.5..1.5),
    };
    player.ttl().mul_f64(part)
}

async fn after_loss(player: &mut Player, seat: Seat) {
    match player.rng.random_bool(0.5) {
        true => drop(seat),
        // A release of what was lost must not harm whoever holds it now.
        false => {
            let _ = seat.release().await;
        }
    }
}

async fn release(player: &mut Player, op: Op, seat: Seat) {
    confirm(player, op, seat.guard());
    player.recorder.note(player.id, Act::Leave(op));
    let ours = match player.rng.random_range(0..10) {
        0..7 => match seat.release().await {
            Ok(()) => Some(true),
            Err(error) if error.is_retryable() => None,
            Err(_) => Some(false),
        },
        7..9 => {
            drop(seat);
            None
        }
        // Given up half-way, it goes on in the background.
        _ => {
            let _ = tokio::time::timeout(player.ttl() / 3000, seat.release()).await;
            None
        }
    };
    player.recorder.note(player.id, Act::Left(op, ours));
}

/// Observes who leads until all has settled.
pub(super) async fn observe(player: &mut Player) {
    let Some(coordinator) = player.connect(player.settled()).await else { return };
    let mut observation = coordinator.election(object_name(0)).observe();
    while let Ok(seen) = timeout_at(player.settled(), observation.next()).await {
        match seen {
            Ok(leader) => {
                let leader = leader.map(|leader| (leader.member.to_string(), leader.term.0));
                player.recorder.note(player.id, Act::Saw(leader));
            }
            Err(error) => {
                player.recorder.note(player.id, Act::Broken(error.to_string()));
                break;
            }
        }
    }
    coordinator.close().await;
}
