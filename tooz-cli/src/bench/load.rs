//! What is measured. Each name is unique, so no other program waits; and each part ends after its time.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tooz::{Coordinator, Error, Lock, StartAt};

use super::figure::{Figure, Times};
use crate::exit::{Failure, INTERNAL, Result};

/// How many messages the topic keeps. It stays in the backend, as topics do.
const KEEP: u64 = 100;

/// Each client acquires and releases a lock of its own.
pub(super) async fn uncontended(coordinator: &Coordinator, clients: u32, time: Duration) -> Result<Figure> {
    let started = Instant::now();
    let clients = (0..clients).map(|client| {
        let lock = coordinator.lock(format!("tooz-bench-{}-{client}", coordinator.member()));
        async move {
            let mut times = times()?;
            while started.elapsed() < time {
                let began = Instant::now();
                lock.acquire().await?.release().await?;
                times.record(began.elapsed());
            }
            Ok::<_, Failure>(times)
        }
    });
    let mut all = times()?;
    try_join_all(clients).await?.iter().for_each(|times| all.add(times));
    Ok(all.figure("acquire and release", started.elapsed()))
}

/// Two clients hand one lock to each other: from the release of one to the grant of the other.
pub(super) async fn hand_over(first: &Coordinator, second: &Coordinator, time: Duration) -> Result<Figure> {
    let name = format!("tooz-bench-{}-hand-over", first.member());
    let locks = [first.lock(&name), second.lock(&name)];
    let (mut all, started) = (times()?, Instant::now());
    let mut guard = locks[0].acquire().await?;
    for turn in 1.. {
        if started.elapsed() >= time {
            break;
        }
        let lock = &locks[turn % 2];
        let next = async {
            let guard = lock.acquire().await?;
            Ok::<_, Error>((guard, Instant::now()))
        };
        let release = async {
            wait_for_waiter(lock).await?;
            let began = Instant::now();
            guard.release().await?;
            Ok::<_, Error>(began)
        };
        let ((granted, at), began) = tokio::try_join!(next, release)?;
        all.record(at.saturating_duration_since(began));
        guard = granted;
    }
    guard.release().await?;
    Ok(all.figure("hand-over to a waiter", started.elapsed()))
}

async fn wait_for_waiter(lock: &Lock) -> Result<(), Error> {
    while lock.inspect().await?.waiters.is_empty() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// One client publishes a message, another one receives it.
pub(super) async fn publish(first: &Coordinator, second: &Coordinator, time: Duration) -> Result<Figure> {
    let mut received = second.topic("tooz-bench").subscribe(StartAt::Latest).await?;
    let topic = first.topic("tooz-bench").keep(KEEP);
    let (mut all, started) = (times()?, Instant::now());
    while started.elapsed() < time {
        let began = Instant::now();
        topic.publish(b"tooz bench").await?;
        received.next().await?;
        all.record(began.elapsed());
    }
    Ok(all.figure("publish and receive", started.elapsed()))
}

fn times() -> Result<Times> {
    Times::new().map_err(|error| Failure::new(INTERNAL, error.to_string()))
}
