//! Locks: exclusive and shared mode, order, inspection, breaking.

use std::time::{Duration, Instant, SystemTime};

use futures_util::future::try_join_all;
use tokio::time::sleep;
use tooz_core::{Coordinator, ErrorKind, Lock};

use super::coordinators::{ids, pair, steady};
use super::fixtures::{ends, eventually, fails, not_now, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "lock"
    NOTHING:
    acquire_and_release,
    tokens_rise_from_holder_to_holder,
    try_acquire_does_not_wait_and_leaves_nothing,
    waiters_are_served_in_order,
    acquire_timeout_gives_up_and_leaves_nothing,
    acquire_timeout_is_granted_in_time,
    readers_share_and_writers_do_not,
    a_waiting_writer_is_not_overtaken,
    inspect_lists_holders_and_waiters,
    break_lock_notifies_the_holder_and_admits_the_next,
    break_lock_of_a_free_lock_breaks_nothing,
    the_lock_excludes_under_contention,
    many_locks_are_held_at_once,
    any_name_is_a_lock,
    one_coordinator_excludes_itself;
}

async fn acquire_and_release(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire().await?;
    ensure!(guard.is_held());
    ensure_eq!(guard.name().as_bytes(), b"l");
    ensure_eq!(guard.coordinator().member(), a.member());
    guard.verify().await?;
    ensure!(b.lock("l").try_acquire().await?.is_none());
    guard.release().await?;
    let next = b.lock("l").try_acquire().await?.expect("expected: try_acquire succeeds on a free lock");
    next.release().await?;
    ensure_eq!(a.lock("l").inspect().await?, tooz_core::Queue::default());
    Ok(())
}

async fn tokens_rise_from_holder_to_holder(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut last = None;
    for round in 0..10 {
        let coordinator = if round % 2 == 0 { &a } else { &b };
        let lock = coordinator.lock("l");
        let guard = if round % 3 == 0 { lock.acquire().await? } else { lock.shared().acquire().await? };
        ensure!(Some(guard.fencing_token()) > last, "{} after {last:?}", guard.fencing_token());
        last = Some(guard.fencing_token());
        guard.release().await?;
    }
    Ok(())
}

async fn try_acquire_does_not_wait_and_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire().await?;
    for _ in 0..3 {
        ensure!(soon("the answer of try_acquire", b.lock("l").try_acquire()).await?.is_none());
        ensure!(soon("the answer of try_acquire", b.lock("l").shared().try_acquire()).await?.is_none());
    }
    ensure_eq!(ids(&a.lock("l").inspect().await?), (vec!["a".to_owned()], vec![]));
    guard.release().await?;
    ensure!(b.lock("l").try_acquire().await?.is_some());
    Ok(())
}

async fn waiters_are_served_in_order(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let lock = a.lock("l");
    let mut held = lock.acquire().await?;
    let mut waiting = Vec::new();
    for place in 0..8 {
        let lock = if place % 2 == 0 { a.lock("l") } else { b.lock("l") };
        waiting.push(tokio::spawn(async move { lock.acquire().await }));
        has_waiters(&a.lock("l"), place + 1).await?;
    }
    while !waiting.is_empty() {
        ensure!(waiting.iter().all(|task| !task.is_finished()));
        held.release().await?;
        let next = ends("the grant to the first waiter", waiting.remove(0)).await?;
        ensure_eq!(lock.inspect().await?.waiters.len(), waiting.len());
        held = next;
    }
    Ok(())
}

/// Waits until the queue has this many waiters.
async fn has_waiters(lock: &Lock, waiters: usize) -> Result<(), Failure> {
    let what = format!("{waiters} wait");
    let there = async || Ok(lock.inspect().await?.waiters.len() == waiters);
    Ok(eventually(&what, super::fixtures::PATIENCE, there).await?)
}

async fn acquire_timeout_gives_up_and_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire().await?;
    let began = Instant::now();
    let limit = Duration::from_millis(200);
    fails(soon("the end of acquire_timeout", b.lock("l").acquire_timeout(limit)).await, ErrorKind::Timeout);
    ensure!(began.elapsed() >= limit, "it gave up after {:?}", began.elapsed());
    has_waiters(&a.lock("l"), 0).await?;
    guard.release().await?;
    // A request that timed out is never granted.
    ensure!(a.lock("l").try_acquire().await?.is_some());
    Ok(())
}

async fn acquire_timeout_is_granted_in_time(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire().await?;
    let lock = b.lock("l");
    let waiting = tokio::spawn(async move { lock.acquire_timeout(Duration::from_secs(30)).await });
    has_waiters(&a.lock("l"), 1).await?;
    guard.release().await?;
    ensure!(ends("the grant", waiting).await?.is_held());
    Ok(())
}

async fn readers_share_and_writers_do_not(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let first = a.lock("l").shared().acquire().await?;
    let readers = [first, soon("a second reader", b.lock("l").shared().acquire()).await?];
    ensure!(a.lock("l").try_acquire().await?.is_none());
    let lock = a.lock("l");
    let writer = tokio::spawn(async move { lock.acquire().await });
    has_waiters(&b.lock("l"), 1).await?;
    for reader in readers {
        ensure!(!writer.is_finished(), "a writer was admitted beside a reader");
        reader.release().await?;
    }
    let writer = ends("the turn of the writer", writer).await?;
    ensure!(b.lock("l").shared().try_acquire().await?.is_none());
    writer.release().await?;
    ensure!(b.lock("l").shared().try_acquire().await?.is_some());
    Ok(())
}

async fn a_waiting_writer_is_not_overtaken(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let reader = a.lock("l").shared().acquire().await?;
    let lock = b.lock("l");
    let writer = tokio::spawn(async move { lock.acquire().await });
    has_waiters(&a.lock("l"), 1).await?;
    ensure!(a.lock("l").shared().try_acquire().await?.is_none(), "a reader has overtaken a writer");
    // When a waiting writer gives up, the readers behind it are admitted.
    let lock = a.lock("l").shared();
    let late = tokio::spawn(async move { lock.acquire().await });
    has_waiters(&a.lock("l"), 2).await?;
    writer.abort();
    ends("the turn of the reader behind", late).await?.release().await?;
    reader.release().await?;
    Ok(())
}

async fn inspect_lists_holders_and_waiters(context: Context) -> Result<(), Failure> {
    let before = SystemTime::now() - Duration::from_secs(1);
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").shared().acquire().await?;
    let (writer, reader) = (b.lock("l"), a.lock("l").shared());
    let waiting = [tokio::spawn(async move { writer.acquire().await })];
    has_waiters(&a.lock("l"), 1).await?;
    let late = tokio::spawn(async move { reader.acquire().await });
    has_waiters(&a.lock("l"), 2).await?;
    let queue = b.lock("l").inspect().await?;
    ensure_eq!(ids(&queue), (vec!["a".to_owned()], vec!["b".to_owned(), "a".to_owned()]));
    ensure_eq!(queue.holders[0].token, guard.fencing_token());
    ensure!(queue.holders[0].shared && !queue.waiters[0].shared && queue.waiters[1].shared);
    ensure!(queue.waiters[1].token > queue.waiters[0].token && queue.waiters[0].token > queue.holders[0].token);
    let now = SystemTime::now() + Duration::from_secs(1);
    let all = queue.holders.iter().chain(&queue.waiters);
    for one in all {
        ensure!(one.since >= before && one.since <= now, "the entry time is not the time of the call: {one:?}");
    }
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    late.abort();
    has_waiters(&b.lock("l"), 0).await?;
    Ok(())
}

async fn break_lock_notifies_the_holder_and_admits_the_next(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire().await?;
    let lock = b.lock("l");
    let waiting = tokio::spawn(async move { lock.acquire().await });
    has_waiters(&b.lock("l"), 1).await?;
    let broken = b.lock("l").break_lock().await?;
    ensure_eq!(broken.len(), 1, "{broken:?}");
    ensure_eq!((&broken[0].member, broken[0].token), (a.member(), guard.fencing_token()));
    let next = ends("the grant to the next waiter", waiting).await?;
    ensure!(next.fencing_token() > guard.fencing_token());
    let cause = soon("the notification that the lock was broken", guard.lost()).await;
    ensure!(cause.is_not_held(), "{cause}");
    ensure!(!guard.is_held());
    fails(guard.verify().await, ErrorKind::NotHeld);
    fails(guard.release().await, ErrorKind::NotHeld);
    next.verify().await?;
    next.release().await?;
    Ok(())
}

async fn break_lock_of_a_free_lock_breaks_nothing(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    ensure!(a.lock("l").break_lock().await?.is_empty());
    let readers = try_join_all((0..3).map(|_| async { a.lock("l").shared().acquire().await })).await?;
    ensure_eq!(a.lock("l").break_lock().await?.len(), 3, "every reader is evicted");
    for reader in readers {
        soon("the notification that the lock was broken", reader.lost()).await;
    }
    Ok(())
}

async fn the_lock_excludes_under_contention(context: Context) -> Result<(), Failure> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let coordinators = try_join_all(["a", "b", "c"].map(|member| steady(&context, member))).await?;
    let (inside, last) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let work = |coordinator: &Coordinator| {
        let (lock, inside, last) = (coordinator.lock("l"), inside.clone(), last.clone());
        async move {
            for _ in 0..12 {
                let guard = lock.acquire().await?;
                ensure_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock at once");
                let before = last.swap(guard.fencing_token().0, Ordering::SeqCst);
                ensure!(guard.fencing_token().0 > before, "a token does not rise");
                tokio::task::yield_now().await;
                ensure_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                guard.release().await?;
            }
            Ok::<_, Failure>(())
        }
    };
    let tasks: Vec<_> = (0..9).map(|index| tokio::spawn(work(&coordinators[index % 3]))).collect();
    for task in tasks {
        ends("the work of a contender", task).await?;
    }
    Ok(())
}

async fn many_locks_are_held_at_once(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut guards = Vec::new();
    for batch in 0..10 {
        let locks: Vec<_> = (0..20).map(|index| a.lock(format!("l{}", batch * 20 + index))).collect();
        guards.extend(try_join_all(locks.iter().map(Lock::acquire)).await?);
    }
    ensure_eq!(guards.len(), 200);
    ensure!(guards.iter().all(tooz_core::Guard::is_held));
    sleep(Duration::from_millis(600)).await;
    ensure!(b.lock("l0").try_acquire().await?.is_none());
    ensure!(b.lock("l199").try_acquire().await?.is_none());
    a.close().await;
    let locks: Vec<_> = (0..200).map(|index| b.lock(format!("l{index}"))).collect();
    for locks in locks.chunks(20) {
        let taken = try_join_all(locks.iter().map(Lock::try_acquire)).await?;
        ensure!(taken.iter().all(Option::is_some), "closing has left a lock behind");
    }
    Ok(())
}

async fn any_name_is_a_lock(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut guards = Vec::new();
    for name in super::driver::enter::awkward_names() {
        guards.push(soon("a lock of its own for each name", a.lock(&name).acquire()).await?);
        ensure!(b.lock(&name).try_acquire().await?.is_none());
    }
    for guard in guards {
        let name = guard.name().clone();
        guard.release().await?;
        ensure!(b.lock(&name).try_acquire().await?.is_some(), "{name}");
    }
    Ok(())
}

async fn one_coordinator_excludes_itself(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let guard = a.lock("l").acquire().await?;
    ensure!(a.lock("l").try_acquire().await?.is_none(), "locks are not re-entrant");
    not_now("a second acquire", a.clone().lock("l").acquire()).await;
    guard.release().await?;
    // The dropped acquire is withdrawn in the background.
    soon("the turn after the release", a.lock("l").acquire()).await?.release().await?;
    Ok(())
}
