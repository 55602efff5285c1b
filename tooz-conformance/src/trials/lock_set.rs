//! Several locks at once: a fixed order, all or nothing, one guard.

use std::time::Duration;

use futures_util::future::try_join_all;
use tooz_core::{Coordinator, Error, ErrorKind, Name, Queue};

use super::coordinators::pair;
use super::fixtures::{A_WHILE, PATIENCE, ends, eventually, fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "lock_set"
    NOTHING:
    one_guard_holds_all_locks,
    if_one_lock_is_held_nothing_is_acquired,
    a_timeout_leaves_nothing,
    a_dropped_acquisition_leaves_nothing,
    the_loss_of_one_lock_is_the_loss_of_all,
    a_loss_while_waiting_ends_the_acquisition,
    crossed_sets_do_not_block_each_other,
    an_empty_set_and_repeated_names_are_fine,
    an_invalid_name_is_refused_before_any_lock_is_awaited;
}

/// Whether no client holds or awaits the lock.
async fn is_free(coordinator: &Coordinator, name: &str) -> tooz_core::Result<bool> {
    Ok(coordinator.lock(name).inspect().await? == Queue::default())
}

async fn one_guard_holds_all_locks(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock_all(["c", "a", "b"]).acquire().await?;
    ensure!(guard.is_held());
    guard.verify().await?;
    let names: Vec<_> = guard.guards().iter().map(|guard| guard.name().to_string()).collect();
    ensure_eq!(names, ["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        ensure!(b.lock(name).try_acquire().await?.is_none());
        ensure!(guard.fencing_token(name).is_some());
    }
    ensure_eq!(guard.fencing_token("d"), None);
    ensure_eq!(guard.run(async { Ok::<_, Error>(7) }).await?, 7);
    guard.release().await?;
    for name in ["a", "b", "c"] {
        ensure!(is_free(&b, name).await?, "{name}");
    }
    drop(a.lock_all(["a", "b"]).acquire().await?);
    soon("both locks after the drop", b.lock_all(["b", "a"]).acquire()).await?.release().await?;
    Ok(())
}

async fn if_one_lock_is_held_nothing_is_acquired(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let held = b.lock("b").acquire().await?;
    ensure!(a.lock_all(["a", "b", "c"]).try_acquire().await?.is_none());
    ensure!(is_free(&b, "a").await? && is_free(&b, "c").await?);
    fails(a.lock_all(["a", "b"]).acquire_timeout(Duration::ZERO).await, ErrorKind::Timeout);
    held.release().await?;
    ensure!(a.lock_all(["a", "b", "c"]).try_acquire().await?.is_some());
    Ok(())
}

async fn a_timeout_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let _held = b.lock("b").acquire().await?;
    fails(a.lock_all(["a", "b"]).acquire_timeout(A_WHILE).await, ErrorKind::Timeout);
    eventually("the first lock is free again", PATIENCE, async || is_free(&b, "a").await).await?;
    eventually("the queue is empty", PATIENCE, async || Ok(b.lock("b").inspect().await?.waiters.is_empty())).await?;
    Ok(())
}

async fn a_dropped_acquisition_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let held = b.lock("b").acquire().await?;
    let set = a.lock_all(["a", "b"]);
    let waiting = tokio::spawn(async move { set.acquire().await });
    eventually("it waits", PATIENCE, async || Ok(!b.lock("b").inspect().await?.waiters.is_empty())).await?;
    ensure!(!is_free(&b, "a").await?);
    waiting.abort();
    eventually("the first lock is free again", PATIENCE, async || is_free(&b, "a").await).await?;
    held.release().await?;
    soon("the second lock", b.lock("b").acquire()).await?.release().await?;
    Ok(())
}

async fn the_loss_of_one_lock_is_the_loss_of_all(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock_all(["a", "b"]).acquire().await?;
    ensure_eq!(b.lock("b").break_lock().await?.len(), 1);
    let cause = soon("the loss", guard.lost()).await;
    ensure!(cause.is_not_held() && !guard.is_held(), "{cause}");
    fails(guard.run(std::future::pending::<Result<(), Error>>()).await, ErrorKind::NotHeld);
    fails(guard.release().await, ErrorKind::NotHeld);
    ensure!(is_free(&b, "a").await?, "the other lock was not released");
    Ok(())
}

async fn a_loss_while_waiting_ends_the_acquisition(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let _held = b.lock("b").acquire().await?;
    let set = a.lock_all(["a", "b"]);
    let waiting = tokio::spawn(async move { set.acquire().await });
    eventually("it waits", PATIENCE, async || Ok(!b.lock("b").inspect().await?.waiters.is_empty())).await?;
    b.lock("a").break_lock().await?;
    fails(ends("the acquisition that lost its first lock", waiting).await, ErrorKind::NotHeld);
    eventually("the queue is empty", PATIENCE, async || Ok(b.lock("b").inspect().await?.waiters.is_empty())).await?;
    Ok(())
}

async fn crossed_sets_do_not_block_each_other(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let rounds = (0..12).map(|index| {
        let coordinator = if index % 2 == 0 { &a } else { &b };
        let set = coordinator.lock_all([["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]][index % 3]);
        async move { set.acquire().await?.release().await }
    });
    soon("all sets are acquired in turn", try_join_all(rounds)).await?;
    Ok(())
}

async fn an_empty_set_and_repeated_names_are_fine(context: Context) -> Result<(), Failure> {
    let (a, _b) = pair(&context).await?;
    let guard = a.lock_all(["a", "a"]).acquire().await?;
    ensure_eq!(guard.guards().len(), 1);
    guard.release().await?;
    let none = a.lock_all([] as [&str; 0]).acquire().await?;
    ensure!(none.is_held());
    none.release().await?;
    Ok(())
}

async fn an_invalid_name_is_refused_before_any_lock_is_awaited(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let _held = b.lock("a").acquire().await?;
    for invalid in [String::new(), "z".repeat(Name::MAX_LEN + 1)] {
        let set = a.lock_all(["a", &invalid]);
        fails(soon("the refusal", set.acquire()).await, ErrorKind::InvalidName);
    }
    Ok(())
}
