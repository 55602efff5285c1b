//! Limits of single locks and permits: a greatest hold time, and bytes that others see.

use std::time::Duration;

use tokio::time::sleep;
use tooz_core::{Coordinator, Error, ErrorKind, Guard};

use super::coordinators::pair;
use super::fixtures::{PATIENCE, eventually, fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "limits"
    NOTHING:
    a_lock_is_lost_after_its_greatest_hold_time,
    a_permit_is_lost_after_its_greatest_hold_time,
    a_forgotten_guard_is_released_after_its_greatest_hold_time,
    a_release_within_the_greatest_hold_time_succeeds,
    a_greatest_hold_time_of_zero_is_refused,
    inspect_shows_the_info_of_holders_and_waiters,
    an_info_that_is_too_large_is_refused;
}

const HOLD: Duration = Duration::from_millis(700);

/// Checks that the guard is lost after the hold time, while the session continues.
async fn is_lost_in_time(guard: &Guard, other: &Coordinator) -> Result<(), Failure> {
    ensure!(guard.remaining().is_some_and(|remaining| remaining <= HOLD), "{:?}", guard.remaining());
    let cause = soon("the end of the hold time", guard.lost()).await;
    ensure_eq!(cause.kind(), ErrorKind::NotHeld, "{cause}");
    ensure!(cause.to_string().contains("greatest hold time"), "{cause}");
    ensure!(!guard.is_held());
    ensure_eq!(guard.remaining(), Some(Duration::ZERO));
    fails(guard.run(async { Ok::<_, Error>(()) }).await, ErrorKind::NotHeld);
    ensure!(guard.coordinator().lock("other").acquire().await?.is_held(), "the session was lost, too");
    ensure!(other.lock("third").acquire().await?.is_held());
    Ok(())
}

async fn a_lock_is_lost_after_its_greatest_hold_time(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").with_greatest_hold(HOLD).acquire().await?;
    ensure!(guard.is_held() && b.lock("l").try_acquire().await?.is_none());
    is_lost_in_time(&guard, &b).await?;
    // The guard still exists: the background task has released the lock.
    let next = soon("the grant to the next client", b.lock("l").acquire()).await?;
    fails(guard.release().await, ErrorKind::NotHeld);
    next.verify().await?;
    Ok(())
}

async fn a_permit_is_lost_after_its_greatest_hold_time(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let kept = a.semaphore("s", 2).acquire().await?;
    let guard = a.semaphore("s", 2).with_greatest_hold(HOLD).acquire().await?;
    ensure!(b.semaphore("s", 2).try_acquire().await?.is_none());
    is_lost_in_time(&guard, &b).await?;
    let next = soon("the grant to the next client", b.semaphore("s", 2).acquire()).await?;
    next.verify().await?;
    kept.verify().await?;
    Ok(())
}

async fn a_forgotten_guard_is_released_after_its_greatest_hold_time(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    std::mem::forget(a.lock("l").with_greatest_hold(HOLD).acquire().await?);
    soon("the grant to the next client", b.lock("l").acquire()).await?.release().await?;
    a.close().await;
    Ok(())
}

async fn a_release_within_the_greatest_hold_time_succeeds(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let lock = a.lock("l").with_greatest_hold(HOLD);
    lock.acquire().await?.release().await?;
    let held = b.lock("l").acquire().await?;
    sleep(HOLD * 2).await;
    held.verify().await?;
    ensure!(held.is_held(), "the limit of a guard that was released has ended another one");
    Ok(())
}

async fn a_greatest_hold_time_of_zero_is_refused(context: Context) -> Result<(), Failure> {
    let (a, _b) = pair(&context).await?;
    fails(a.lock("l").with_greatest_hold(Duration::ZERO).acquire().await, ErrorKind::InvalidOption);
    ensure!(a.lock("l").with_greatest_hold(Duration::MAX).acquire().await?.is_held());
    Ok(())
}

async fn inspect_shows_the_info_of_holders_and_waiters(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let _guard = a.lock("l").with_info("job 7 on host-a").acquire().await?;
    let lock = b.lock("l").with_info([0xff, 0]);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    let is_waiting = async || Ok(!a.lock("l").inspect().await?.waiters.is_empty());
    eventually("the waiter is in the queue", PATIENCE, is_waiting).await?;
    let queue = b.lock("l").inspect().await?;
    waiting.abort();
    ensure_eq!((&queue.holders[0].info[..], &queue.waiters[0].info[..]), (&b"job 7 on host-a"[..], &[0xff, 0][..]));
    let _permit = a.semaphore("s", 1).with_info("p").acquire().await?;
    ensure_eq!(b.semaphore("s", 1).inspect().await?.holders[0].info, b"p");
    let _other = a.lock("m").acquire().await?;
    ensure_eq!(b.lock("m").inspect().await?.holders[0].info, b"");
    Ok(())
}

async fn an_info_that_is_too_large_is_refused(context: Context) -> Result<(), Failure> {
    let (a, _b) = pair(&context).await?;
    fails(a.lock("l").with_info(vec![b'x'; 100_000]).acquire().await, ErrorKind::InvalidOption);
    let large = vec![b'x'; 60_000];
    let _guard = a.lock("l").with_info(&large).acquire().await?;
    ensure_eq!(a.lock("l").inspect().await?.holders[0].info, large);
    Ok(())
}
