//! Contention: the time from the call of release to the return of acquire in the next waiter, and the share of each
//! waiter.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::figure::{Figure, Round, now};
use super::floor::Floor;
use super::pair::close;
use super::run::{Bench, OpenFloor};
use crate::children::ChildContext;
use crate::harness::joined;
use crate::{Context, Failure, Target};

/// Long enough that the next contender waits in the queue when a holder releases.
const HOLD: Duration = Duration::from_millis(4);
/// A contender that requested later than this before the release may not have been in the queue, so it does not count.
const QUEUED: u64 = 1_000_000;

pub(super) const CONTENDER: &str = "bench-contender";
pub(super) const PASSER: &str = "bench-passer";

/// One turn of one contender. Times are those of [`now`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Turn {
    order: u64,
    asked: u64,
    got: u64,
    gave: u64,
}

/// The number of a contender, and how many turns it takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Assignment {
    index: u64,
    turns: u64,
}

/// Between 2 and 8 processes, the least share of 8 contenders, and with few and many waiters.
pub(super) async fn figures(bench: &Bench) -> Result<(), Failure> {
    let (context, turns) = (bench.fresh(), bench.count(60));
    let floor = bench.floor(&context).await?;
    let clients = if context.has_processes() { "processes" } else { "tasks" };
    let two = Figure::new(format!("hand-over between 2 {clients}"));
    let two = two.beside("a raw token", floor.targets().hand_over).measure(
        bench.rounds(),
        || async { times(&play(bench, &bench.fresh(), CONTENDER, 2, turns).await?) },
        || async { times(&play(bench, &bench.fresh(), PASSER, 2, turns).await?) },
    );
    let two = two.await?;
    let mut trips = Figure::new(format!("hand-over between 2 {clients}")).beside("one read after the same pause", None);
    trips.ours = two.ours.clone();
    for _ in 0..bench.rounds() {
        trips.base.push(reads_after_pauses(&*floor, turns).await?);
    }
    let mut eight = Figure::new(format!("hand-over between 8 {clients}")).beside("between 2", None);
    eight.base = two.ours.clone();
    let mut share = Figure { unit: "%", ..Figure::new("least share of 8 contenders") };
    bench.add(two);
    bench.add(trips);
    for _ in 0..bench.rounds() {
        let parts = play(bench, &bench.fresh(), CONTENDER, 8, turns / 3 + 2).await?;
        eight.ours.push(times(&parts)?);
        share.ours.push(Round::of_value(least_share(&parts)));
    }
    bench.add(eight);
    bench.add(share);
    let many = bench.count(1000);
    let many_waiters = Figure::new(format!("hand-over, {many} waiters")).beside("2 waiters", Some(1.5)).measure(
        bench.rounds().min(3),
        || many_waiters(bench, usize::try_from(many).unwrap_or(1000)),
        || many_waiters(bench, 2),
    );
    bench.add(many_waiters.await?);
    Ok(())
}

/// Raw round trips, each after a pause as long as a hold, because an idle connection answers more slowly.
async fn reads_after_pauses(floor: &dyn Floor, count: u64) -> Result<Round, Failure> {
    let mut times = Vec::new();
    for _ in 0..count {
        sleep(HOLD).await;
        let began = now();
        floor.look().await?;
        times.push(now() - began);
    }
    Round::of_times(times, None)
}

/// Lets `count` processes take turns, or tasks if the backend cannot be shared by processes.
async fn play(bench: &Bench, context: &Context, role: &str, count: u64, turns: u64) -> Result<Vec<Vec<Turn>>, Failure> {
    let parts = (0..count).map(|index| Assignment { index, turns });
    if !context.has_processes() {
        let running = parts.map(|assignment| {
            let (target, open, contends) = (Target::clone(context), bench.open.clone(), role == CONTENDER);
            tokio::spawn(async move {
                if contends { contend(&target, assignment).await } else { pass(open(target).await?, assignment).await }
            })
        });
        let running: Vec<_> = running.collect();
        return gather(running).await;
    }
    let mut children = Vec::new();
    for part in parts {
        children.push(context.spawn(role, &part)?);
    }
    for child in &mut children {
        child.receive::<()>().await?;
    }
    for child in &mut children {
        child.send(&()).await?;
    }
    let mut outcome = Vec::new();
    for child in &mut children {
        outcome.push(child.receive().await?);
    }
    Ok(outcome)
}

async fn gather<T>(running: Vec<tokio::task::JoinHandle<Result<T, Failure>>>) -> Result<Vec<T>, Failure> {
    let mut outcome = Vec::new();
    for task in running {
        outcome.push(joined(task).await?);
    }
    Ok(outcome)
}

/// The child: takes turns with the lock.
pub(super) async fn play_contender(child: ChildContext) -> Result<(), Failure> {
    let warm = child.coordinator("warm").await?;
    child.send(&())?;
    child.receive::<()>().await?;
    child.send(&contend(&child, child.args()?).await?)?;
    warm.close().await;
    Ok(())
}

/// The child: takes turns with the floor's token.
pub(super) async fn play_passer(child: ChildContext, open: OpenFloor) -> Result<(), Failure> {
    let floor = open(Target::clone(&child)).await?;
    child.send(&())?;
    child.receive::<()>().await?;
    child.send(&pass(floor, child.args()?).await?)
}

async fn contend(target: &Target, assignment: Assignment) -> Result<Vec<Turn>, Failure> {
    let coordinator = target.coordinator(&format!("contender-{}", assignment.index)).await?;
    let lock = coordinator.lock("contended");
    let mut turns = Vec::new();
    for _ in 0..assignment.turns {
        let asked = now();
        let guard = lock.acquire().await?;
        let got = now();
        sleep(HOLD).await;
        let (order, gave) = (guard.fencing_token().0, now());
        guard.release().await?;
        turns.push(Turn { order, asked, got, gave });
        sleep(HOLD / 4).await;
    }
    coordinator.close().await;
    Ok(turns)
}

/// The first of two contenders has the even turns and begins. The second has the odd turns.
async fn pass(floor: Arc<dyn Floor>, assignment: Assignment) -> Result<Vec<Turn>, Failure> {
    let mut turns = Vec::new();
    for order in (0..assignment.turns).map(|turn| 2 * turn + assignment.index) {
        let asked = now();
        if order > 0 {
            floor.receive(order).await?;
        }
        let got = now();
        floor.arm(order + 1).await?;
        sleep(HOLD).await;
        let gave = now();
        floor.pass(order + 1).await?;
        turns.push(Turn { order, asked, got, gave });
        sleep(HOLD / 4).await;
    }
    Ok(turns)
}

/// The times from a release to the grant of the next contender in the queue.
fn times(parts: &[Vec<Turn>]) -> Result<Round, Failure> {
    let mut turns = parts.concat();
    turns.sort_by_key(|turn| turn.order);
    let pairs = turns.windows(2).filter(|pair| pair[1].asked + QUEUED < pair[0].gave);
    Round::of_times(pairs.map(|pair| pair[1].got.saturating_sub(pair[0].gave)).collect(), None)
}

/// The least share of the grants in percent while all contend.
fn least_share(parts: &[Vec<Turn>]) -> f64 {
    let begin = parts.iter().filter_map(|part| part.first()).map(|turn| turn.asked).max().unwrap_or_default();
    let end = parts.iter().filter_map(|part| part.last()).map(|turn| turn.got).min().unwrap_or_default();
    let within = |part: &Vec<Turn>| part.iter().filter(|turn| begin <= turn.got && turn.got <= end).count();
    let counts: Vec<_> = parts.iter().map(within).collect();
    let least = counts.iter().min().copied().unwrap_or_default();
    least as f64 * 100.0 / counts.iter().sum::<usize>().max(1) as f64
}

/// Many waiters in one process. Each holds the lock for a moment and enters the queue again.
async fn many_waiters(bench: &Bench, waiters: usize) -> Result<Round, Failure> {
    let context = bench.fresh();
    let coordinator = context.coordinator("waiters").await?;
    let lock = coordinator.lock("waited-for");
    let first = lock.acquire().await?;
    let (sender, mut turns) = tokio::sync::mpsc::unbounded_channel();
    let running: Vec<_> = (0..waiters)
        .map(|_| {
            let (lock, sender) = (lock.clone(), sender.clone());
            tokio::spawn(async move {
                loop {
                    let asked = now();
                    let guard = lock.acquire().await?;
                    let got = now();
                    sleep(HOLD / 2).await;
                    let (order, gave) = (guard.fencing_token().0, now());
                    guard.release().await?;
                    let _ = sender.send(Turn { order, asked, got, gave });
                }
                #[expect(unreachable_code, reason = "tells the type of the errors")]
                Ok::<(), Failure>(())
            })
        })
        .collect();
    while lock.inspect().await?.waiters.len() < waiters {
        sleep(HOLD).await;
    }
    first.release().await?;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let turn = tokio::time::timeout(Duration::from_secs(10), turns.recv()).await;
        seen.push(
            turn.map_err(|_| Failure::new("no waiter was granted the lock for 10 s"))?
                .ok_or_else(|| Failure::new("all waiters have ended"))?,
        );
    }
    running.iter().for_each(tokio::task::JoinHandle::abort);
    close(&[&coordinator]).await;
    times(&[seen])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(order: u64, asked: u64, got: u64, gave: u64) -> Turn {
        let ms = 1_000_000;
        Turn { order, asked: asked * ms, got: got * ms, gave: gave * ms }
    }

    #[test]
    fn only_queued_contenders_count() {
        let parts = [vec![turn(1, 0, 1, 10), turn(3, 19, 21, 30)], vec![turn(2, 2, 13, 20)]];
        assert_eq!(times(&parts).unwrap().p50, 3000.0);
    }

    #[test]
    fn a_share_counts_while_all_contend() {
        let greedy = (0..10).map(|n| turn(n, n, n + 1, n + 2)).collect();
        assert_eq!(least_share(&[greedy, vec![turn(20, 0, 12, 13)]]), 0.0);
    }
}
