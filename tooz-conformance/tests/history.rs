//! Histories of the memory driver with a paused clock: a correct driver breaks no rule with any seed.

use std::time::Duration;

use tooz_conformance::history::{MemoryEnvironment, Plan, Timing, Verdict, Workload, judge, run};
use tooz_core::memory;

/// With a paused clock requests take no time, and nothing is late.
fn timing() -> Timing {
    let ms = Duration::from_millis;
    Timing { ttl: ms(3000), prompt: ms(100), arrival: Duration::ZERO, grace: ms(2000), expires: true, real_time: false }
}

async fn run_and_judge(workload: Workload, seed: u64) -> Verdict {
    let plan = Plan { workload, seed, length: Duration::from_secs(20), processes: (5, 1), timing: timing() };
    let environment = MemoryEnvironment::new(memory::DRIVER, &format!("history-{}-{seed}", workload.as_str()));
    judge(&plan, &run(&plan, &environment).await.unwrap_or_else(|failure| panic!("{failure}")))
}

async fn breaks_no_rule(workload: Workload) {
    let (mut operations, mut faults) = (0, 0);
    for seed in 0..8 {
        let verdict = run_and_judge(workload, seed).await.into_result().unwrap_or_else(|text| panic!("{text}"));
        operations += verdict.operations;
        faults += verdict.faults.values().sum::<usize>();
    }
    println!("{}: {operations} operations, {faults} faults", workload.as_str());
    assert!(operations > 1000 && faults > 30, "too little was tested");
}

#[tokio::test(start_paused = true)]
async fn lock() {
    breaks_no_rule(Workload::Lock).await;
}

#[tokio::test(start_paused = true)]
async fn shared_lock() {
    breaks_no_rule(Workload::SharedLock).await;
}

#[tokio::test(start_paused = true)]
async fn semaphore() {
    breaks_no_rule(Workload::Semaphore).await;
}

#[tokio::test(start_paused = true)]
async fn election() {
    breaks_no_rule(Workload::Election).await;
}

#[tokio::test(start_paused = true)]
async fn group() {
    breaks_no_rule(Workload::Group).await;
}

#[tokio::test(start_paused = true)]
async fn topic() {
    breaks_no_rule(Workload::Topic).await;
}
