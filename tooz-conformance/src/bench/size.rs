//! What many locks cost: those acquired beside them, traffic, memory; and a coordinator that does nothing.

use std::fs;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;
use tooz_core::{Coordinator, Guard};

use super::Bench;
use super::figure::{Figure, Round};
use super::pair::{close, pair, repeat};
use crate::{Context, Failure};

/// How many are acquired at once.
const AT_ONCE: usize = 64;

/// Pairs beside up to 10,000 held locks, renewal traffic, memory a lock, processor time when idle.
pub(super) async fn figures(bench: &Bench) -> Result<(), Failure> {
    let length = bench.slice(250);
    for held in [1000, 10_000].map(|count| bench.count(count)) {
        let (few, many) = (bench.fresh(), bench.fresh());
        let (few, many) = (few.coordinator("few").await?, many.coordinator("many").await?);
        let before = resident();
        let guards = hold(&many, held).await?;
        let kilobytes = resident().saturating_sub(before) as f64 / held as f64 / 1000.0;
        let figure = Figure::new(format!("acquire + release, {held} others held")).beside("none held", None).measure(
            bench.rounds().min(5),
            || repeat(length, 1, |_| pair(many.lock("pair"))),
            || repeat(length, 1, |_| pair(few.lock("pair"))),
        );
        bench.add(figure.await?);
        if held > 1002 {
            let mut memory = Figure { unit: "kB", ..Figure::new("memory of a held lock in the client") };
            memory.ours.push(Round::of_value(kilobytes));
            bench.add(memory);
        }
        drop(guards);
        close(&[&few, &many]).await;
    }
    idle(bench).await?;
    for held in [1, 1000, 10_000] {
        renewals(bench, if held == 1 { 1 } else { bench.count(held) }).await?;
    }
    Ok(())
}

async fn hold(coordinator: &Coordinator, count: u64) -> Result<Vec<Guard>, Failure> {
    let locks = stream::iter(0..count).map(|index| {
        let lock = coordinator.lock(format!("held-{index}"));
        async move { Ok(lock.acquire().await?) }
    });
    locks.buffer_unordered(AT_ONCE).try_collect().await
}

/// Bytes a second in both directions while locks are only held; a proxy counts them.
async fn renewals(bench: &Bench, held: u64) -> Result<(), Failure> {
    let direct = bench.fresh();
    let (context, proxies): (Context, _) = match direct.proxied().await {
        Err(failure) if failure.is_ignored() => return Ok(()),
        proxied => proxied?,
    };
    let coordinator = context.coordinator("renews").await?;
    let guards = hold(&coordinator, held).await?;
    // What follows an acquire is not a renewal.
    sleep(bench.slice(500)).await;
    let window = if bench.full { context.ttl() * 2 } else { context.ttl() / 3 };
    let total = || proxies.each().iter().map(|proxy| proxy.traffic()).map(|t| t.bytes_to_server + t.bytes_to_client);
    let before: u64 = total().sum();
    sleep(window).await;
    let bytes = total().sum::<u64>().saturating_sub(before) as f64 / window.as_secs_f64();
    let mut figure =
        Figure { unit: "B/s", ..Figure::new(format!("renewal traffic, {held} held, ttl {:?}", context.ttl())) };
    figure.ours.push(Round::of_value(bytes));
    bench.add(figure);
    drop(guards);
    coordinator.close().await;
    Ok(())
}

/// The share of a core that this process uses while one coordinator holds one lock.
async fn idle(bench: &Bench) -> Result<(), Failure> {
    let coordinator = bench.fresh().coordinator("idle").await?;
    let guard = coordinator.lock("idle").acquire().await?;
    let mut figure = Figure { unit: "% of a core", ..Figure::new("processor time of an idle coordinator") };
    sleep(bench.slice(1000)).await;
    for _ in 0..bench.rounds().min(3) {
        let (window, before) = (bench.slice(3000), processor_time());
        sleep(window).await;
        let used = processor_time().saturating_sub(before);
        figure.ours.push(Round::of_value(used.as_secs_f64() * 100.0 / window.as_secs_f64()));
    }
    bench.add(figure);
    guard.release().await?;
    coordinator.close().await;
    Ok(())
}

/// Bytes of memory that this process has in use.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}

/// What all threads of this process have used.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
