//! Other processes: holders that are killed or frozen, and many processes at once.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tooz_core::{Coordinator, ErrorKind, FencingToken, GroupEvent, SessionState};

use super::coordinators::steady;
use super::fixtures::{PATIENCE, ends, eventually, soon};
use crate::children::{Child, ChildContext, Role};
use crate::harness::joined;
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "process"
    PROCESSES:
    a_killed_holder_frees_its_lock,
    a_killed_waiter_does_not_delay_the_next,
    a_killed_member_leaves_its_group,
    a_killed_leader_is_succeeded,
    a_frozen_holder_is_notified_when_it_resumes,
    a_member_id_taken_over_from_a_frozen_process_is_not_taken_back,
    a_killed_process_leaves_nothing,
    many_processes_exclude_each_other;
}

/// The roles of these trials.
pub(crate) fn roles() -> Vec<Role> {
    vec![
        Role::new("holder", hold),
        Role::new("waiter", wait),
        Role::new("contender", contend),
        Role::new("member", join_and_rejoin),
    ]
}

/// A message of a child.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Message {
    Holds { token: u64, timed: bool },
    Waits,
    Joined,
    TakenOver(bool),
    Lost { session: bool, held: bool },
    Back,
    Done,
}

/// Acquires a lock, a leadership and a membership, and reports their loss.
async fn hold(child: ChildContext) -> Result<(), Failure> {
    let coordinator = child.coordinator("child").await?;
    let guard = coordinator.lock("l").acquire().await?;
    let leadership = coordinator.election("e").campaign().await?;
    coordinator.group("g").create_if_missing().await?;
    let membership = coordinator.group("g").join("child").await?;
    let mut states = coordinator.states();
    child.send(&Message::Holds { token: guard.fencing_token().0, timed: guard.remaining().is_some() })?;
    let cause = guard.lost().await;
    let held = guard.is_held() || leadership.is_held();
    child.send(&Message::Lost { session: cause.is_session_lost(), held })?;
    while states.next().await.is_some_and(|state| state != SessionState::Lost) {}
    while states.next().await.is_some_and(|state| state != SessionState::Connected) {}
    membership.joined().await?;
    child.send(&Message::Back)?;
    child.receive().await
}

/// Waits for the lock.
async fn wait(child: ChildContext) -> Result<(), Failure> {
    let coordinator = child.coordinator("child").await?;
    let lock = coordinator.lock("l");
    let waiting = tokio::spawn(async move { lock.acquire().await });
    let there = async || Ok(coordinator.lock("l").inspect().await?.waiters.len() == 1);
    eventually("the child waits", PATIENCE, there).await?;
    child.send(&Message::Waits)?;
    let _guard = joined(waiting).await?;
    child.receive().await
}

/// Joins a group, and reports how the membership ends.
async fn join_and_rejoin(child: ChildContext) -> Result<(), Failure> {
    let coordinator = child.coordinator("child").await?;
    coordinator.group("g").create_if_missing().await?;
    let membership = coordinator.group("g").join(()).await?;
    child.send(&Message::Joined)?;
    membership.lost().await;
    let ended = membership.joined().await.err();
    child.send(&Message::TakenOver(ended.is_some_and(|error| error.kind() == ErrorKind::MemberNotJoined)))?;
    child.receive().await
}

/// Works in a directory that only one process may use at a time. The arguments are its path and the number of turns.
async fn contend(child: ChildContext) -> Result<(), Failure> {
    let (directory, times): (PathBuf, u32) = child.args()?;
    let member = format!("child-{}", std::process::id());
    let coordinator = steady(&child, &member).await?;
    let lock = coordinator.lock("l");
    for _ in 0..times {
        let guard = lock.acquire().await?;
        work_alone(&directory, guard.fencing_token())?;
        guard.release().await?;
    }
    child.send(&Message::Done)?;
    child.receive().await
}

/// Fails if another process is at work, or has worked with a greater token.
fn work_alone(directory: &std::path::Path, token: FencingToken) -> Result<(), Failure> {
    let (busy, last) = (directory.join("busy"), directory.join("last"));
    std::fs::File::create_new(&busy)?;
    let before: u64 = std::fs::read_to_string(&last).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    if token.0 <= before {
        return Err(Failure::new(format!(
            "expected: tokens rise\nactual: token {token} was granted after token {before}"
        )));
    }
    std::fs::write(&last, token.to_string())?;
    Ok(std::fs::remove_file(&busy)?)
}

async fn holder(context: &Context) -> Result<(Child, u64, bool), Failure> {
    let mut child = context.spawn("holder", &())?;
    match child.receive().await? {
        Message::Holds { token, timed } => Ok((child, token, timed)),
        other => Err(Failure::new(format!("expected: the child holds the lock\nactual: it sends {other:?}"))),
    }
}

/// How long the backend may take to detect that a process is gone.
fn notice(context: &Context) -> Duration {
    context.ttl() * 2 + PATIENCE
}

/// Acquires the lock within that time. Returns the token, and how long it took.
async fn acquires(coordinator: &Coordinator, within: Duration) -> Result<(u64, Duration), Failure> {
    let began = Instant::now();
    let guard = coordinator.lock("l").acquire_timeout(within).await?;
    Ok((guard.fencing_token().0, began.elapsed()))
}

async fn a_killed_holder_frees_its_lock(context: Context) -> Result<(), Failure> {
    let (mut child, token, timed) = holder(&context).await?;
    let a = steady(&context, "a").await?;
    ensure!(a.lock("l").try_acquire().await?.is_none(), "two processes hold the lock at once");
    child.kill().await?;
    let (next, took) = acquires(&a, notice(&context)).await?;
    ensure!(next > token, "{next} does not rise above {token}");
    ensure!(timed || took < context.ttl(), "it claims not to depend on time, but took {took:?}");
    Ok(())
}

async fn a_killed_waiter_does_not_delay_the_next(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let guard = a.lock("l").acquire().await?;
    let mut child = context.spawn("waiter", &())?;
    ensure_eq!(child.receive::<Message>().await?, Message::Waits);
    let lock = a.lock("l");
    let next = tokio::spawn(async move { lock.acquire().await });
    child.kill().await?;
    guard.release().await?;
    let granted = tokio::time::timeout(notice(&context), joined(next)).await;
    granted
        .map_err(|_| Failure::new("the next waiter was not granted the lock after the waiter before it was killed"))??
        .release()
        .await?;
    Ok(())
}

async fn a_killed_member_leaves_its_group(context: Context) -> Result<(), Failure> {
    let (mut child, ..) = holder(&context).await?;
    let a = steady(&context, "a").await?;
    let mut watch = a.group("g").watch().await?;
    let joined = soon("the member", watch.next()).await?;
    ensure!(matches!(&joined, GroupEvent::Joined(member) if member.id().as_bytes() == b"child"), "{joined:?}");
    child.kill().await?;
    let left = tokio::time::timeout(notice(&context), watch.next()).await;
    let left =
        left.map_err(|_| Failure::new("expected: the killed member leaves its group\nactual: it is still a member"))??;
    ensure!(matches!(&left, GroupEvent::Left(member) if member.id().as_bytes() == b"child"), "{left:?}");
    ensure!(a.group("g").members().await?.is_empty());
    Ok(())
}

async fn a_killed_leader_is_succeeded(context: Context) -> Result<(), Failure> {
    let (mut child, ..) = holder(&context).await?;
    let a = steady(&context, "a").await?;
    let former = a.election("e").leader().await?.expect("expected: the child leads");
    child.kill().await?;
    let leadership = a.election("e").campaign_timeout(notice(&context)).await?;
    ensure!(leadership.term() > former.term);
    Ok(())
}

async fn a_frozen_holder_is_notified_when_it_resumes(context: Context) -> Result<(), Failure> {
    let (mut child, token, timed) = holder(&context).await?;
    let a = steady(&context, "a").await?;
    let mut watch = a.group("g").watch().await?;
    soon("the member", watch.next()).await?;
    child.pause()?;
    if !timed {
        sleep(context.ttl() * 2).await;
        ensure!(a.lock("l").try_acquire().await?.is_none(), "a frozen process has not ended");
        child.resume()?;
        return Ok(());
    }
    let guard = a.lock("l").acquire_timeout(notice(&context)).await?;
    ensure!(guard.fencing_token().0 > token);
    child.resume()?;
    ensure_eq!(child.receive::<Message>().await?, Message::Lost { session: true, held: false });
    ensure_eq!(child.receive::<Message>().await?, Message::Back);
    guard.verify().await?;
    ensure!(matches!(soon("the end of its membership", watch.next()).await?, GroupEvent::Left(_)));
    ensure!(matches!(soon("its return", watch.next()).await?, GroupEvent::Joined(_)));
    Ok(())
}

async fn a_member_id_taken_over_from_a_frozen_process_is_not_taken_back(context: Context) -> Result<(), Failure> {
    let mut child = context.spawn("member", &())?;
    ensure_eq!(child.receive::<Message>().await?, Message::Joined);
    let next = steady(&context, "child").await?;
    child.pause()?;
    if context.session("timing").await?.ttl().is_some() {
        let is_gone = async || Ok(next.group("g").members().await?.is_empty());
        eventually("the member of the frozen process is gone", notice(&context), is_gone).await?;
    }
    let membership = next.group("g").join_taking_over(()).await?;
    let incarnation = membership.incarnation();
    child.resume()?;
    ensure_eq!(child.receive::<Message>().await?, Message::TakenOver(true), "the child took its member id back");
    ensure_eq!(membership.incarnation(), incarnation);
    ensure_eq!(
        next.group("g").members().await?.iter().map(|one| Some(one.incarnation())).collect::<Vec<_>>(),
        [incarnation]
    );
    Ok(())
}

async fn a_killed_process_leaves_nothing(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    for _ in 0..2 {
        let (mut child, ..) = holder(&context).await?;
        child.kill().await?;
    }
    let empty = async || {
        let queue = a.lock("l").inspect().await?;
        Ok(queue.holders.is_empty() && a.group("g").members().await?.is_empty())
    };
    eventually("nothing is left of two processes", notice(&context), empty).await?;
    Ok(())
}

async fn many_processes_exclude_each_other(context: Context) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(context.spawn("contender", &(directory.path(), 25))?);
    }
    let here = steady(&context, "here").await?;
    let path = directory.path().to_owned();
    let own = tokio::spawn(async move {
        for _ in 0..25 {
            let guard = here.lock("l").acquire().await?;
            work_alone(&path, guard.fencing_token())?;
            guard.release().await?;
        }
        Ok::<_, Failure>(())
    });
    for child in &mut children {
        ensure_eq!(child.receive::<Message>().await?, Message::Done);
    }
    ends("our own part", own).await?;
    Ok(())
}
