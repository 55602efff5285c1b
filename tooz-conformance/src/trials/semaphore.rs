//! Semaphores: never more holders than permits, granted in the order of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use tooz_core::{Coordinator, ErrorKind};

use super::coordinators::{ids, pair, steady};
use super::fixtures::{PATIENCE, ends, eventually, fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "semaphore"
    NOTHING:
    it_admits_as_many_as_it_has_permits,
    any_release_admits_the_next_waiter,
    no_permits_at_all_is_refused,
    acquire_timeout_gives_up_and_leaves_nothing,
    a_semaphore_and_a_lock_of_one_name_are_separate,
    break_permits_evicts_all_holders,
    a_dropped_guard_gives_its_permit_back,
    it_never_admits_too_many_under_contention;
}

async fn it_admits_as_many_as_it_has_permits(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut guards = Vec::new();
    for place in 0..3 {
        let coordinator = if place % 2 == 0 { &a } else { &b };
        guards.push(coordinator.semaphore("s", 3).acquire().await?);
    }
    ensure!(guards.is_sorted_by(|one, next| one.fencing_token() < next.fencing_token()));
    ensure!(a.semaphore("s", 3).try_acquire().await?.is_none());
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    ensure_eq!(ids(&b.semaphore("s", 3).inspect().await?), (names(&["a", "b", "a"]), vec![]));
    guards.remove(0).release().await?;
    ensure!(a.semaphore("s", 3).try_acquire().await?.is_some());
    Ok(())
}

async fn any_release_admits_the_next_waiter(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    for releasing in 0..3 {
        let name = format!("s{releasing}");
        let semaphore = a.semaphore(&name, 3);
        let mut guards = try_join_all((0..3).map(|_| semaphore.acquire())).await?;
        let waiter = b.semaphore(&name, 3);
        let waiting = tokio::spawn(async move { waiter.acquire().await });
        let waits = async || Ok(semaphore.inspect().await?.waiters.len() == 1);
        eventually("the fourth waits", PATIENCE, waits).await?;
        guards.sort_by_key(|guard| guard.fencing_token());
        guards.remove(releasing).release().await?;
        drop(ends("the turn of the fourth", waiting).await?);
        ensure_eq!(semaphore.inspect().await?.waiters.len(), 0);
    }
    Ok(())
}

async fn no_permits_at_all_is_refused(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    fails(a.semaphore("s", 0).acquire().await, ErrorKind::InvalidOption);
    fails(a.semaphore("s", 0).try_acquire().await, ErrorKind::InvalidOption);
    ensure!(a.semaphore("s", u32::MAX).try_acquire().await?.is_some());
    Ok(())
}

async fn acquire_timeout_gives_up_and_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.semaphore("s", 1).acquire().await?;
    let attempt = b.semaphore("s", 1).acquire_timeout(Duration::from_millis(100)).await;
    fails(attempt, ErrorKind::Timeout);
    let alone = async || Ok(a.semaphore("s", 1).inspect().await?.waiters.is_empty());
    eventually("the queue has no waiter", PATIENCE, alone).await?;
    guard.release().await?;
    Ok(())
}

async fn a_semaphore_and_a_lock_of_one_name_are_separate(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let _permit = a.semaphore("same", 1).acquire().await?;
    let _lock = soon("a lock of the same name", a.lock("same").acquire()).await?;
    let _leadership = soon("an election of the same name", a.election("same").campaign()).await?;
    Ok(())
}

async fn break_permits_evicts_all_holders(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guards = [a.semaphore("s", 2).acquire().await?, a.semaphore("s", 2).acquire().await?];
    ensure_eq!(b.semaphore("s", 2).break_permits().await?.len(), 2);
    for guard in guards {
        ensure!(soon("the notification that the permit was revoked", guard.lost()).await.is_not_held());
        fails(guard.release().await, ErrorKind::NotHeld);
    }
    ensure!(b.semaphore("s", 2).try_acquire().await?.is_some());
    Ok(())
}

async fn a_dropped_guard_gives_its_permit_back(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let semaphore = a.semaphore("s", 4);
    drop(soon("four of four permits", try_join_all((0..4).map(|_| semaphore.acquire()))).await?);
    for _ in 0..4 {
        // The guard is kept until the end, so that each of the four permits is needed.
        std::mem::forget(soon("a permit that was given back", b.semaphore("s", 4).acquire()).await?);
    }
    Ok(())
}

async fn it_never_admits_too_many_under_contention(context: Context) -> Result<(), Failure> {
    const PERMITS: u32 = 3;
    let coordinators = try_join_all(["a", "b"].map(|member| steady(&context, member))).await?;
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let work = |coordinator: &Coordinator| {
        let (semaphore, inside, most) = (coordinator.semaphore("s", PERMITS), inside.clone(), most.clone());
        async move {
            for _ in 0..8 {
                let guard = semaphore.acquire().await?;
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                ensure!(now <= PERMITS, "{now} hold {PERMITS} permits");
                most.fetch_max(now, Ordering::SeqCst);
                // This is longer than a hand-over, so that at some time all permits are in use.
                tokio::time::sleep(Duration::from_millis(20)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await?;
            }
            Ok::<_, Failure>(())
        }
    };
    let tasks: Vec<_> = (0..10).map(|index| tokio::spawn(work(&coordinators[index % 2]))).collect();
    for task in tasks {
        ends("the work of a contender", task).await?;
    }
    ensure_eq!(most.load(Ordering::SeqCst), PERMITS, "the permits were never all in use");
    Ok(())
}
