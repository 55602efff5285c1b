//! Client memory per lock, waiter and coordinator, measured in a child process, so that no earlier figure affects it.

use std::fs;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::figure::{Figure, Round};
use super::pair::close;
use super::run::Bench;
use super::size::hold;
use crate::Failure;
use crate::children::ChildContext;

pub(super) const MEASURER: &str = "bench-memory";

/// What is measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Resource {
    Lock,
    Waiter,
    Coordinator,
}

/// Memory per held lock, per waiter of one lock, and per coordinator.
pub(super) async fn figures(bench: &Bench) -> Result<(), Failure> {
    for (resource, what, count) in [
        (Resource::Lock, "held lock", 10_000),
        (Resource::Waiter, "waiter", 1000),
        (Resource::Coordinator, "coordinator", 50),
    ] {
        let count = bench.count(count);
        let mut figure = Figure { unit: "kB", ..Figure::new(format!("memory of a {what} in the client")) };
        for _ in 0..bench.rounds().min(3) {
            let mut child = bench.fresh().spawn(MEASURER, &(resource, count))?;
            let grown: u64 = child.receive().await?;
            figure.ours.push(Round::of_value(grown as f64 / count as f64 / 1000.0));
        }
        bench.add(figure);
    }
    Ok(())
}

/// The child: creates many of one thing and reports how many bytes its memory grew.
pub(super) async fn measure(child: ChildContext) -> Result<(), Failure> {
    let (resource, count): (Resource, u64) = child.args()?;
    // The first one costs more than each further one, so it is not measured.
    let first = child.coordinator("first").await?;
    let held = first.lock("wanted").acquire().await?;
    let before = resident();
    let grown = || resident().saturating_sub(before);
    match resource {
        Resource::Lock => {
            let guards = hold(&first, count).await?;
            child.send(&grown())?;
            drop(guards);
        }
        Resource::Waiter => {
            let lock = first.lock("wanted");
            let waiting = (0..count).map(|_| {
                let lock = lock.clone();
                tokio::spawn(async move { lock.acquire().await })
            });
            let waiting: Vec<_> = waiting.collect();
            while (lock.inspect().await?.waiters.len() as u64) < count {
                sleep(Duration::from_millis(20)).await;
            }
            child.send(&grown())?;
            waiting.iter().for_each(tokio::task::JoinHandle::abort);
        }
        Resource::Coordinator => {
            let opened = stream::iter(0..count).map(|index| {
                let target = &child;
                async move { target.coordinator(&format!("coordinator-{index}")).await }
            });
            let opened: Vec<_> = opened.buffer_unordered(8).try_collect().await?;
            child.send(&grown())?;
            close(&opened.iter().collect::<Vec<_>>()).await;
        }
    }
    held.release().await?;
    first.close().await;
    Ok(())
}

/// The resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}
