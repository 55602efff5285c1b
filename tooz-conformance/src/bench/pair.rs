//! Uncontended operations: the time of each, with one task and with 64.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tooz_core::{Coordinator, Lock};

use super::figure::{Figure, Round};
use super::floor::Floor;
use super::run::Bench;
use crate::{BoxFuture, Failure};

/// One measured operation.
type Step = BoxFuture<'static, Result<(), Failure>>;

/// Acquire and release with one task and with 64, a shared lock, and a try on a held lock.
pub(super) async fn figures(bench: &Bench) -> Result<(), Failure> {
    let context = bench.fresh();
    let coordinator = context.coordinator("bench").await?;
    let floor: Arc<dyn Floor> = bench.floor(&context).await?;
    let (words, target) = (floor.words(), floor.targets().pair);
    let round = bench.slice(250);
    for tasks in [1, 64] {
        let figure = Figure::new(format!("acquire + release, {tasks} task{}", if tasks == 1 { "" } else { "s" }));
        let target = target.filter(|_| tasks == 1);
        let figure = figure.beside(words, target).of_tasks(tasks).measure(
            bench.rounds(),
            || repeat(round, tasks, |task| pair(coordinator.lock(format!("pair-{task}")))),
            || repeat(round, tasks, |task| floor_pair(floor.clone(), task)),
        );
        bench.add(figure.await?);
    }
    if let Some(words) = floor.native_lock() {
        bench.add(beside_native(bench, &coordinator, &floor, words).await?);
    }
    let shared = Figure::new("acquire + release, shared lock").beside(words, None).measure(
        bench.rounds(),
        || repeat(round, 1, |_| pair(coordinator.lock("shared").shared())),
        || repeat(round, 1, |task| floor_pair(floor.clone(), task)),
    );
    bench.add(shared.await?);
    let other = context.coordinator("other").await?;
    let held = other.lock("held").acquire().await?;
    let tried = Figure::new("try_acquire on a held lock").beside("one read", None).measure(
        bench.rounds(),
        || repeat(round, 1, |_| attempt(coordinator.lock("held"))),
        || repeat(round, 1, |_| look(floor.clone())),
    );
    bench.add(tried.await?);
    drop(held);
    close(&[&coordinator, &other]).await;
    Ok(())
}

/// Acquire and release beside a lock of the backend's own.
async fn beside_native(
    bench: &Bench,
    coordinator: &Coordinator,
    floor: &Arc<dyn Floor>,
    words: &str,
) -> Result<Figure, Failure> {
    let round = bench.slice(250);
    let native = Figure::new("acquire + release").beside(words, None).measure(
        bench.rounds(),
        || repeat(round, 1, |_| pair(coordinator.lock("native"))),
        || repeat(round, 1, |_| native_pair(floor.clone())),
    );
    native.await
}

/// Repeats an operation in `tasks` tasks until the time is over.
pub(super) async fn repeat<W, F>(length: Duration, tasks: usize, make: impl Fn(usize) -> W) -> Result<Round, Failure>
where
    W: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let start = Instant::now();
    let running = (0..tasks).map(|task| {
        let work = make(task);
        tokio::spawn(async move {
            let mut times = Vec::new();
            while times.is_empty() || start.elapsed() < length {
                let began = Instant::now();
                work().await?;
                times.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            Ok::<_, Failure>(times)
        })
    });
    let outcomes = try_join_all(running).await?;
    let times = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    Round::of_times(times, Some(per_second))
}

/// Acquires and releases a lock.
pub(super) fn pair(lock: Lock) -> impl Fn() -> Step {
    move || {
        let lock = lock.clone();
        Box::pin(async move { Ok(lock.acquire().await?.release().await?) })
    }
}

fn floor_pair(floor: Arc<dyn Floor>, task: usize) -> impl Fn() -> Step {
    move || {
        let floor = floor.clone();
        Box::pin(async move { floor.pair(task).await })
    }
}

fn native_pair(floor: Arc<dyn Floor>) -> impl Fn() -> Step {
    move || {
        let floor = floor.clone();
        Box::pin(async move { floor.native_pair().await })
    }
}

fn look(floor: Arc<dyn Floor>) -> impl Fn() -> Step {
    move || {
        let floor = floor.clone();
        Box::pin(async move { floor.look().await })
    }
}

fn attempt(lock: Lock) -> impl Fn() -> Step {
    move || {
        let lock = lock.clone();
        Box::pin(async move {
            match lock.try_acquire().await? {
                None => Ok(()),
                Some(_) => Err(Failure::new("try_acquire returned a guard although the lock is held")),
            }
        })
    }
}

pub(super) async fn close(coordinators: &[&Coordinator]) {
    for coordinator in coordinators {
        coordinator.close().await;
    }
}
