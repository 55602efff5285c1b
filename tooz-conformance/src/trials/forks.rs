//! Processes that fork: the copy uses and releases nothing of its parent, and may connect anew.

use std::process::exit;
use std::time::Duration;

use fork::{Fork, fork, waitpid};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tooz_core::{Coordinator, Guard, Membership, SessionState};

use super::coordinators::steady;
use super::fixtures::PATIENCE;
use crate::children::{ChildContext, Role};
use crate::{Context, Failure, Target, ensure, ensure_eq};

trials! { "fork"
    PROCESSES:
    a_copy_neither_uses_nor_releases_what_its_parent_holds,
    two_copies_that_connect_exclude_each_other,
    a_copy_does_not_keep_what_its_dead_parent_held;
}

/// The roles of these trials.
pub(crate) fn roles() -> Vec<Role> {
    vec![
        Role::new("forks while it holds", |child| in_a_thread(child, fork_while_holding)),
        Role::new("forks two workers", |child| in_a_thread(child, fork_two_workers)),
        Role::new("leaves a copy", |child| in_a_thread(child, leave_a_copy)),
    ]
}

/// What a copy reports.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Message {
    Refused,
    Granted { token: u64 },
    Forked { copy: i32 },
    Done { copies_failed: usize, held: bool },
}

/// Runs a role in a thread without a runtime, like a program that forks before it starts its workers. Then waits for the
/// parent.
async fn in_a_thread(child: ChildContext, play: fn(&ChildContext) -> Result<(), Failure>) -> Result<(), Failure> {
    let context = child.clone();
    let playing = std::thread::spawn(move || play(&context));
    while !playing.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    playing.join().unwrap_or_else(|_| Err(Failure::new("the role panicked")))?;
    child.receive().await
}

/// A runtime whose tasks run in the thread that uses it. So a fork of that thread copies no lock that another thread holds.
fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Forks this process. The copy runs `work` and ends.
fn fork_and(work: impl FnOnce() -> Result<(), Failure>) -> Result<i32, Failure> {
    match fork()? {
        Fork::Parent(copy) => Ok(copy),
        Fork::Child => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            if let Ok(Err(failure)) = &outcome {
                eprintln!("the copy failed: {failure}");
            }
            exit(i32::from(!matches!(outcome, Ok(Ok(())))))
        }
    }
}

/// Connects anew in a runtime of its own, and tries to acquire the lock.
fn try_lock(child: &ChildContext, member: &str) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let own = steady(child, member).await?;
        match own.lock("l").try_acquire().await? {
            None => child.send(&Message::Refused)?,
            Some(guard) => {
                child.send(&Message::Granted { token: guard.fencing_token().0 })?;
                // The others try meanwhile.
                tokio::time::sleep(Duration::from_secs(2)).await;
                guard.release().await?;
            }
        }
        own.lock("own").acquire().await?.release().await?;
        own.close().await;
        Ok(())
    })
}

fn is_refused<T>(outcome: tooz_core::Result<T>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.is_closed() && error.to_string().contains("fork") => Ok(()),
        Err(error) => Err(Failure::new(format!("expected: Closed that names the fork\nactual: {error}"))),
        Ok(_) => Err(Failure::new("expected: a copy may not use what its parent has made\nactual: it did")),
    }
}

async fn use_in_a_copy(coordinator: Coordinator, guard: Guard, membership: Membership) -> Result<(), Failure> {
    ensure!(!guard.is_held(), "the copy believes that it holds the lock");
    ensure_eq!(guard.remaining(), Some(Duration::ZERO));
    ensure_eq!(coordinator.state(), SessionState::Closed);
    is_refused::<()>(Err(guard.lost().await))?;
    is_refused(guard.verify().await)?;
    is_refused(coordinator.lock("m").try_acquire().await)?;
    is_refused(coordinator.election("e").try_campaign().await)?;
    is_refused(coordinator.group("g").members().await)?;
    is_refused(membership.joined().await)?;
    is_refused(membership.update(()).await)?;
    is_refused(membership.leave().await)?;
    is_refused(guard.release().await)?;
    coordinator.close().await;
    drop(coordinator);
    // The copies of the parent's tasks get a chance to take a step.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}

async fn hold(target: &Target) -> Result<(Coordinator, Guard, Membership), Failure> {
    let coordinator = steady(target, "parent").await?;
    let guard = coordinator.lock("l").acquire().await?;
    coordinator.group("g").create_if_missing().await?;
    let membership = coordinator.group("g").join(()).await?;
    Ok((coordinator, guard, membership))
}

fn fork_while_holding(child: &ChildContext) -> Result<(), Failure> {
    let runtime = runtime()?;
    let (coordinator, guard, membership) = runtime.block_on(hold(child))?;
    let mut held = Some((coordinator, guard, membership));
    let copy = fork_and(|| {
        let Some((coordinator, guard, membership)) = held.take() else { return Ok(()) };
        runtime.block_on(use_in_a_copy(coordinator, guard, membership))?;
        try_lock(child, "copy")
    })?;
    let failed = waitpid(copy)? != 0;
    let Some((coordinator, guard, membership)) = held else { return Err(Failure::new("only the copy takes it")) };
    let verified = runtime.block_on(guard.verify());
    let held = verified.is_ok() && guard.is_held() && membership.incarnation().is_some();
    child.send(&Message::Done { copies_failed: usize::from(failed), held })?;
    // The parent checks from outside that all is still there.
    runtime.block_on(async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        guard.release().await?;
        coordinator.close().await;
        Ok(())
    })
}

async fn a_copy_neither_uses_nor_releases_what_its_parent_holds(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let mut child = context.spawn("forks while it holds", &())?;
    ensure_eq!(child.receive::<Message>().await?, Message::Refused, "the copy got the lock of its parent");
    ensure_eq!(child.receive::<Message>().await?, Message::Done { copies_failed: 0, held: true });
    ensure!(a.lock("l").try_acquire().await?.is_none(), "the lock is free although its holder lives");
    ensure_eq!(a.group("g").members().await?.len(), 1, "the member is gone although its process lives");
    a.lock("l").acquire_timeout(PATIENCE).await?.release().await?;
    Ok(())
}

/// A server that has used a coordinator, closes it and forks its workers.
fn fork_two_workers(child: &ChildContext) -> Result<(), Failure> {
    let before = runtime()?;
    before.block_on(async {
        let coordinator = steady(child, "before").await?;
        coordinator.lock("before").acquire().await?.release().await?;
        coordinator.close().await;
        Ok::<_, Failure>(())
    })?;
    drop(before);
    let workers = [fork_and(|| try_lock(child, "worker-1"))?, fork_and(|| try_lock(child, "worker-2"))?];
    let mut copies_failed = 0;
    for worker in workers {
        copies_failed += usize::from(waitpid(worker)? != 0);
    }
    child.send(&Message::Done { copies_failed, held: false })
}

async fn two_copies_that_connect_exclude_each_other(context: Context) -> Result<(), Failure> {
    let mut child = context.spawn("forks two workers", &())?;
    let said = [child.receive::<Message>().await?, child.receive().await?];
    let is_granted = |message: &&Message| matches!(message, Message::Granted { .. });
    ensure_eq!(said.iter().filter(is_granted).count(), 1, "{said:?}");
    ensure!(said.contains(&Message::Refused), "{said:?}");
    ensure_eq!(child.receive::<Message>().await?, Message::Done { copies_failed: 0, held: false });
    Ok(())
}

fn leave_a_copy(child: &ChildContext) -> Result<(), Failure> {
    let runtime = runtime()?;
    let (coordinator, guard, membership) = runtime.block_on(async {
        let coordinator = child.coordinator("parent").await?;
        let guard = coordinator.lock("l").acquire().await?;
        coordinator.group("g").create_if_missing().await?;
        let membership = coordinator.group("g").join(()).await?;
        Ok::<_, Failure>((coordinator, guard, membership))
    })?;
    let copy = fork_and(|| {
        // This is longer than the trial takes. The copy has all descriptors of its parent.
        std::thread::sleep(PATIENCE * 4);
        Ok(())
    })?;
    child.send(&Message::Forked { copy })?;
    runtime.block_on(std::future::pending::<()>());
    drop((coordinator, guard, membership));
    Ok(())
}

async fn a_copy_does_not_keep_what_its_dead_parent_held(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let mut child = context.spawn("leaves a copy", &())?;
    let Message::Forked { copy } = child.receive().await? else { return Err(Failure::new("the child forks first")) };
    ensure!(a.lock("l").try_acquire().await?.is_none(), "two processes hold the lock at once");
    child.kill().await?;
    let acquired = a.lock("l").acquire_timeout(context.ttl() * 2 + PATIENCE).await;
    let members = a.group("g").members().await;
    Pid::from_raw(copy).map(|copy| kill_process(copy, Signal::KILL)).transpose()?;
    acquired?.release().await?;
    ensure!(members?.is_empty(), "the member of the dead process is still there");
    Ok(())
}
