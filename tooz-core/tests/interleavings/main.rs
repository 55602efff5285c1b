//! Guards, heartbeats and reapers in the orders that a scheduler can choose, with what must hold in each of them.
//!
//! Each user, each request on its way and the clock is a task of shuttle's scheduler, as is the Tokio runtime that runs the tasks
//! of core, one poll at a time. A failure prints its schedule; `TOOZ_SCHEDULE=… cargo test --test interleavings NAME` replays it.

mod network;
mod users;
mod world;

use std::sync::Arc;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, MaxSteps, Runner};

use self::world::{Tally, Weather};

/// Far above what a schedule takes: one that comes here has a call that never returns.
const MOST_STEPS: usize = 60_000;

fn explore(scheduler: impl Scheduler + 'static, weather: Weather) -> Arc<Tally> {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    let tally = Arc::new(Tally::default());
    let seen = tally.clone();
    let schedule = move || users::meet(weather, &seen);
    match std::env::var("TOOZ_SCHEDULE") {
        Ok(printed) => Runner::new(ReplayScheduler::new_from_encoded(&printed), config).run(schedule),
        Err(_) => Runner::new(scheduler, config).run(schedule),
    };
    eprintln!("{tally:?}");
    tally
}

#[test]
fn in_fair_weather_nothing_is_lost_and_every_release_is_ours() {
    let tally = explore(RandomScheduler::new_from_seed(1, 100), Weather::Fair);
    tally.expect_all(&[&tally.grants, &tally.released, &tally.dropped, &tally.given_up, &tally.closed]);
}

#[test]
fn in_foul_weather_the_loss_comes_first_and_nothing_is_left() {
    let tally = explore(RandomScheduler::new_from_seed(2, 150), Weather::Foul);
    tally.expect_all(&[&tally.grants, &tally.released, &tally.dropped, &tally.given_up, &tally.closed]);
    tally.expect_all(&[&tally.losses, &tally.unanswered, &tally.takeovers]);
}

#[test]
fn the_same_holds_where_few_tasks_overtake_many() {
    let tally = explore(PctScheduler::new_from_seed(3, 4, 150), Weather::Foul);
    tally.expect_all(&[&tally.grants, &tally.released, &tally.losses, &tally.takeovers]);
}

#[test]
fn a_schedule_that_is_replayed_goes_the_same_way() {
    let random = RandomScheduler::new_from_seed(4, 20);
    let tally = explore(UncontrolledNondeterminismCheckScheduler::new(random), Weather::Foul);
    tally.expect_all(&[&tally.grants]);
}
