//! Guards, heartbeats and reapers under schedules that shuttle chooses, with the properties that hold in each schedule.
//!
//! Each client, each request under way and the clock is a task of shuttle's scheduler. So is the Tokio runtime that
//! runs the tasks of core, one poll at a time. A failure prints its schedule; `TOOZ_SCHEDULE=… cargo test --test
//! interleavings NAME` replays it.

mod clients;
mod network;
mod simulation;

use std::sync::Arc;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, MaxSteps, Runner};

use self::simulation::{Coverage, Faults};

/// Far more steps than a schedule takes: one that reaches this number contains a call that never returns.
const MAX_STEPS: usize = 60_000;

fn explore(scheduler: impl Scheduler + 'static, faults: Faults) -> Arc<Coverage> {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    let coverage = Arc::new(Coverage::default());
    let counted = coverage.clone();
    let schedule = move || clients::run_schedule(faults, &counted);
    match std::env::var("TOOZ_SCHEDULE") {
        Ok(printed) => Runner::new(ReplayScheduler::new_from_encoded(&printed), config).run(schedule),
        Err(_) => Runner::new(scheduler, config).run(schedule),
    };
    eprintln!("{coverage:?}");
    coverage
}

#[test]
fn without_faults_no_guard_is_lost_and_every_release_succeeds() {
    let seen = explore(RandomScheduler::new_from_seed(1, 100), Faults::None);
    seen.expect_all(&[&seen.grants, &seen.released, &seen.dropped, &seen.cancelled, &seen.closed]);
}

#[test]
fn with_faults_the_loss_is_reported_before_the_next_grant_and_no_entry_remains() {
    let seen = explore(RandomScheduler::new_from_seed(2, 150), Faults::Injected);
    seen.expect_all(&[&seen.grants, &seen.released, &seen.dropped, &seen.cancelled, &seen.closed]);
    seen.expect_all(&[&seen.losses, &seen.unanswered, &seen.takeovers]);
}

#[test]
fn the_same_holds_when_tasks_run_by_random_priorities() {
    let seen = explore(PctScheduler::new_from_seed(3, 4, 150), Faults::Injected);
    seen.expect_all(&[&seen.grants, &seen.released, &seen.losses, &seen.takeovers]);
}

#[test]
fn a_replayed_schedule_takes_the_same_steps() {
    let random = RandomScheduler::new_from_seed(4, 20);
    let seen = explore(UncontrolledNondeterminismCheckScheduler::new(random), Faults::Injected);
    seen.expect_all(&[&seen.grants]);
}
