//! Groups and elections: the time until other clients receive a change.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tooz_core::{Coordinator, Group, GroupEvent, GroupWatch};

use super::figure::{Figure, Round, now};
use super::pair::close;
use super::run::Bench;
use crate::children::ChildContext;
use crate::harness::joined;
use crate::scale::Pattern;
use crate::{Context, Failure};

pub(super) const LEADER: &str = "bench-leader";
/// The longest time that any measurement here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time from a join to the event at the last watcher, alone and beside many members. The time to the next leader, from
/// a resignation and, at several TTLs, from `kill -9`.
pub(super) async fn figures(bench: &Bench) -> Result<(), Failure> {
    for watchers in [1, 10, 100] {
        let mut figure = Figure::new(format!("join to event, the last of {watchers} watchers"));
        for _ in 0..bench.rounds().min(3) {
            figure.ours.push(joins(bench, watchers).await?);
        }
        bench.add(figure);
    }
    for members in [10, 100, 1000].map(|count| bench.count(count)) {
        with_members(bench, members).await?;
    }
    let mut resigned = Figure::new("resign to the next leader");
    for _ in 0..bench.rounds().min(3) {
        resigned.ours.push(resigns(bench).await?);
    }
    bench.add(resigned);
    let context = bench.fresh();
    if !context.has_processes() {
        return Ok(());
    }
    // A backend whose liveness does not depend on time has one figure only.
    let timed = context.session("asks").await?.ttl().is_some();
    let ttls: Vec<_> = [1, 2, 3].iter().take(if timed { 3 } else { 1 }).map(|factor| context.ttl() * *factor).collect();
    let mut killed: Vec<_> =
        ttls.iter().map(|ttl| Figure::new(format!("kill -9 to the next leader, ttl {ttl:?}"))).collect();
    for _ in 0..bench.rounds().min(3) {
        // The measurements run concurrently, because each of them mostly waits.
        let led = ttls.iter().map(|ttl| async { killed_leader(&bench.fresh().with_ttl(*ttl)).await });
        killed.iter_mut().zip(try_join_all(led).await?).for_each(|(figure, round)| figure.ours.push(round));
    }
    killed.into_iter().for_each(|figure| bench.add(figure));
    Ok(())
}

/// From a join beside many members to the event at a watcher, and the time to read all members.
async fn with_members(bench: &Bench, members: u64) -> Result<(), Failure> {
    let context = bench.fresh();
    let (watching, joining) = (context.coordinator("watching").await?, context.coordinator("joining").await?);
    let group = joining.group("members");
    group.create_if_missing().await?;
    let session = context.session("members").await?;
    Pattern::of_member(&group, &*session).await?.enter(&*session, 0..members).await?;
    let mut reads = Figure::new(format!("reading a group of {members}"));
    let mut joins = Figure::new(format!("join to event, beside {members} members"));
    let mut watch = watching.group("members").watch().await?;
    // The watch starts with the present members.
    for _ in 0..members {
        watch.next().await?;
    }
    for _ in 0..bench.rounds().min(3) {
        // Nothing else renews a session of the driver itself.
        session.renew().await?;
        let (mut read, mut received) = (Vec::new(), Vec::new());
        for _ in 0..bench.count(15) {
            let began = now();
            let count = group.members().await?.len() as u64;
            read.push(now() - began);
            if count != members {
                return Err(Failure::new(format!("{count} members were read, not {members}")));
            }
            let (took, next) = join_to_event(&group, watch).await?;
            received.push(took);
            watch = next;
        }
        reads.ours.push(Round::of_times(read, None)?);
        joins.ours.push(Round::of_times(received, None)?);
    }
    bench.add(reads);
    bench.add(joins);
    session.close().await?;
    close(&[&watching, &joining]).await;
    Ok(())
}

/// The time from a join to its event at the watcher. Afterwards the member leaves.
async fn join_to_event(group: &Group, watch: GroupWatch) -> Result<(u64, GroupWatch), Failure> {
    let receiving = tokio::spawn(receives_join(watch));
    let began = now();
    let membership = group.join(()).await?;
    let (at, watch) = joined(receiving).await?;
    membership.leave().await?;
    Ok((at.saturating_sub(began), watch))
}

async fn joins(bench: &Bench, watchers: usize) -> Result<Round, Failure> {
    let context = bench.fresh();
    let (watching, joining) = (context.coordinator("watching").await?, context.coordinator("joining").await?);
    let group = joining.group("watched");
    group.create_if_missing().await?;
    let mut times = Vec::new();
    let mut watches = Vec::new();
    for _ in 0..watchers {
        watches.push(watching.group("watched").watch().await?);
    }
    for _ in 0..bench.count(30) {
        let receiving: Vec<_> = watches.drain(..).map(|watch| tokio::spawn(receives_join(watch))).collect();
        tokio::time::sleep(Duration::from_millis(3)).await;
        let began = now();
        let membership = group.join(()).await?;
        let mut last = 0;
        for receiving in receiving {
            let (received, watch) = joined(receiving).await?;
            last = last.max(received.saturating_sub(began));
            watches.push(watch);
        }
        times.push(last);
        membership.leave().await?;
    }
    close(&[&watching, &joining]).await;
    Round::of_times(times, None)
}

/// Waits for the next join and skips the events before it.
async fn receives_join(mut watch: GroupWatch) -> Result<(u64, GroupWatch), Failure> {
    loop {
        let event = timeout(PATIENCE, watch.next()).await;
        if let GroupEvent::Joined(_) = event.map_err(|_| Failure::new("a watcher received no join for 20 s"))?? {
            return Ok((now(), watch));
        }
    }
}

async fn resigns(bench: &Bench) -> Result<Round, Failure> {
    let context = bench.fresh();
    let (one, two) = (context.coordinator("one").await?, context.coordinator("two").await?);
    let mut times = Vec::new();
    for _ in 0..bench.count(30) {
        let leadership = one.election("e").campaign().await?;
        let next = campaign(&two);
        tokio::time::sleep(Duration::from_millis(8)).await;
        let began = now();
        leadership.resign().await?;
        times.push(ended(next).await?.saturating_sub(began));
    }
    close(&[&one, &two]).await;
    Round::of_times(times, None)
}

/// The time at which the coordinator leads. It resigns at once.
fn campaign(coordinator: &Coordinator) -> JoinHandle<Result<u64, Failure>> {
    let election = coordinator.election("e");
    tokio::spawn(async move {
        let leadership = election.campaign().await?;
        let leads = now();
        leadership.resign().await?;
        Ok(leads)
    })
}

async fn ended(next: JoinHandle<Result<u64, Failure>>) -> Result<u64, Failure> {
    timeout(PATIENCE, joined(next)).await.map_err(|_| Failure::new("no candidate was elected within 20 s"))?
}

/// The child: leads until it is killed.
pub(super) async fn lead(child: ChildContext) -> Result<(), Failure> {
    let coordinator = child.coordinator("killed").await?;
    let _leadership = coordinator.election("e").campaign().await?;
    child.send(&())?;
    child.receive().await
}

async fn killed_leader(context: &Context) -> Result<Round, Failure> {
    let mut child = context.spawn(LEADER, &())?;
    child.receive::<()>().await?;
    let coordinator = context.coordinator("successor").await?;
    let next = campaign(&coordinator);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = now();
    child.kill().await?;
    let took = ended(next).await?.saturating_sub(began);
    coordinator.close().await;
    Round::of_times(vec![took], None)
}
