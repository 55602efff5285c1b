//! Cost by size: locks beside many held locks, renewal traffic, and an idle coordinator.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;
use tooz_core::{Coordinator, Guard};

use super::figure::{Figure, Round};
use super::pair::{close, pair, repeat};
use super::run::Bench;
use crate::proxy::Traffic;
use crate::{Context, Failure};

/// How many locks are acquired concurrently.
const AT_ONCE: usize = 64;

/// Pairs beside up to 10,000 held locks, renewal traffic, and processor time when idle.
pub(super) async fn figures(bench: &Bench) -> Result<(), Failure> {
    let length = bench.slice(250);
    for held in [1000, 10_000].map(|count| bench.count(count)) {
        let (few, many) = (bench.fresh(), bench.fresh());
        let (few, many) = (few.coordinator("few").await?, many.coordinator("many").await?);
        let guards = hold(&many, held).await?;
        let figure = Figure::new(format!("acquire + release, {held} others held")).beside("none held", None).measure(
            bench.rounds().min(5),
            || repeat(length, 1, |_| pair(many.lock("pair"))),
            || repeat(length, 1, |_| pair(few.lock("pair"))),
        );
        bench.add(figure.await?);
        drop(guards);
        close(&[&few, &many]).await;
    }
    idle(bench).await?;
    for held in [1, 1000, 10_000] {
        renewals(bench, if held == 1 { 1 } else { bench.count(held) }).await?;
    }
    Ok(())
}

pub(super) async fn hold(coordinator: &Coordinator, count: u64) -> Result<Vec<Guard>, Failure> {
    let locks = stream::iter(0..count).map(|index| {
        let lock = coordinator.lock(format!("held-{index}"));
        async move { Ok(lock.acquire().await?) }
    });
    locks.buffer_unordered(AT_ONCE).try_collect().await
}

/// Bytes and requests per second while locks are only held, counted by a proxy.
async fn renewals(bench: &Bench, held: u64) -> Result<(), Failure> {
    let direct = bench.fresh();
    let (context, proxies): (Context, _) = match direct.proxied().await {
        Err(failure) if failure.is_ignored() => return Ok(()),
        proxied => proxied?,
    };
    let coordinator = context.coordinator("renews").await?;
    let guards = hold(&coordinator, held).await?;
    // The traffic right after an acquire is not renewal traffic.
    sleep(bench.slice(500)).await;
    let window = if bench.full { context.ttl() * 2 } else { context.ttl() / 3 };
    let before = proxies.traffic();
    sleep(window).await;
    let after = proxies.traffic();
    let bytes = |traffic: Traffic| traffic.bytes_to_server + traffic.bytes_to_client;
    let name = format!("renewal traffic, {held} held, ttl {:?}", context.ttl());
    for (unit, count) in [
        ("B/s", bytes(after).saturating_sub(bytes(before))),
        ("requests/s", after.chunks_to_server.saturating_sub(before.chunks_to_server)),
    ] {
        let mut figure = Figure { unit, ..Figure::new(name.as_str()) };
        figure.ours.push(Round::of_value(count as f64 / window.as_secs_f64()));
        bench.add(figure);
    }
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

/// The processor time of all threads of this process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
