//! Guards: a guard reports its loss, and no dropped call leaves an entry behind.

use std::time::Duration;

use futures_util::stream::{self, TryStreamExt};
use rand::Rng;
use tokio::time::{sleep, timeout};
use tooz_core::{Coordinator, ErrorKind};

use super::coordinators::{pair, steady};
use super::fixtures::{PATIENCE, SHORT_TTL, eventually, fails, not_now, poll_then_drop, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "guard"
    NOTHING:
    dropping_a_guard_releases,
    release_goes_on_when_it_is_dropped,
    run_returns_what_the_work_returns,
    run_drops_its_work_at_the_loss,
    remaining_follows_the_renewals,
    a_guard_keeps_the_session_alive,
    closing_the_coordinator_notifies_the_guard,
    acquire_dropped_at_any_await_leaves_nothing,
    acquire_dropped_while_waiting_leaves_nothing,
    try_acquire_dropped_at_any_await_leaves_nothing,
    a_dropped_waiter_does_not_hold_up_the_next,
    ten_thousand_dropped_acquires_leave_nothing;
}

/// Waits until the lock has neither holders nor waiters.
async fn is_empty_soon(coordinator: &Coordinator, what: &str) -> Result<(), Failure> {
    let lock = coordinator.lock("l");
    let clean = async || {
        let queue = lock.inspect().await?;
        Ok(queue.holders.is_empty() && queue.waiters.is_empty())
    };
    Ok(eventually(&format!("nothing is left behind {what}"), PATIENCE * 3, clean).await?)
}

async fn dropping_a_guard_releases(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    drop(a.lock("l").acquire().await?);
    soon("the turn after a guard was dropped", b.lock("l").acquire()).await?.release().await?;
    is_empty_soon(&b, "by a dropped guard").await
}

async fn release_goes_on_when_it_is_dropped(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    for polls in 0..6 {
        let guard = a.lock("l").acquire().await?;
        let release = timeout(Duration::from_millis(50), poll_then_drop(polls, guard.release()));
        let _ = release.await;
        soon("the turn after a release was dropped", b.lock("l").acquire()).await?.release().await?;
    }
    Ok(())
}

async fn run_returns_what_the_work_returns(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let guard = a.lock("l").acquire().await?;
    let output = guard.run(async {
        sleep(Duration::from_millis(20)).await;
        Ok::<_, Failure>(42)
    });
    ensure_eq!(output.await?, 42);
    not_now("the loss of a lock that is held", guard.lost()).await;
    guard.release().await?;
    Ok(())
}

async fn run_drops_its_work_at_the_loss(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire().await?;
    let (dropped, ended) = tokio::sync::oneshot::channel::<()>();
    let work = async move {
        let _alive = dropped;
        std::future::pending::<tooz_core::Result<()>>().await
    };
    let (outcome, broken) = tokio::join!(soon("the end of the work", guard.run(work)), async {
        sleep(Duration::from_millis(50)).await;
        b.lock("l").break_lock().await
    });
    broken?;
    fails(outcome, ErrorKind::NotHeld);
    ensure!(ended.await.is_err(), "the work still runs after the loss");
    fails(guard.run(async { Ok::<_, tooz_core::Error>(()) }).await, ErrorKind::NotHeld);
    Ok(())
}

async fn remaining_follows_the_renewals(context: Context) -> Result<(), Failure> {
    let a = context.builder("a").ttl(SHORT_TTL).heartbeat(SHORT_TTL / 10).connect().await?;
    let guard = a.lock("l").acquire().await?;
    let Some(first) = guard.remaining() else {
        sleep(SHORT_TTL).await;
        ensure_eq!((guard.remaining(), guard.is_held()), (None, true));
        return Ok(());
    };
    // The backend may grant a longer TTL than requested, so only the change over time is checked.
    ensure!(!first.is_zero());
    sleep(SHORT_TTL * 2).await;
    let later = guard.remaining().expect("expected: remaining() stays Some, because liveness depends on time");
    ensure!(!later.is_zero() && guard.is_held(), "{later:?} remain although the session was renewed all the time");
    guard.release().await?;
    Ok(())
}

async fn a_guard_keeps_the_session_alive(context: Context) -> Result<(), Failure> {
    let a = context.builder("a").ttl(SHORT_TTL).heartbeat(SHORT_TTL / 10).connect().await?;
    let b = steady(&context, "b").await?;
    let guard = a.lock("l").acquire().await?;
    drop(a);
    sleep(SHORT_TTL * 2).await;
    ensure!(guard.is_held());
    ensure!(b.lock("l").try_acquire().await?.is_none());
    drop(guard);
    drop(soon("the turn after the last of the coordinator was dropped", b.lock("l").acquire()).await?);
    Ok(())
}

async fn closing_the_coordinator_notifies_the_guard(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire().await?;
    let lock = b.lock("l");
    let next = tokio::spawn(async move { lock.acquire().await });
    a.close().await;
    let cause = soon("the notification of the loss", guard.lost()).await;
    ensure!(cause.is_closed(), "{cause}");
    ensure!(!guard.is_held());
    fails(guard.run(async { Ok::<_, tooz_core::Error>(()) }).await, ErrorKind::Closed);
    fails(guard.release().await, ErrorKind::Closed);
    drop(super::fixtures::ends("the grant to the next waiter", next).await?);
    Ok(())
}

/// Polls `acquire` once and drops it, then twice, and so on until it returns.
async fn drop_at_every_await<T, F: Future<Output = tooz_core::Result<T>>>(
    acquire: impl Fn() -> F,
    at_most: usize,
) -> Result<(), Failure> {
    for polls in 0..at_most {
        let polled = timeout(Duration::from_millis(100), poll_then_drop(polls, acquire())).await;
        if let Ok(Some(outcome)) = polled {
            drop(outcome?);
            return Ok(());
        }
    }
    Ok(())
}

async fn acquire_dropped_at_any_await_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let (lock, reader) = (a.lock("l"), a.lock("l").shared());
    for _ in 0..3 {
        drop_at_every_await(|| lock.acquire(), 30).await?;
        drop_at_every_await(|| reader.acquire(), 30).await?;
    }
    is_empty_soon(&b, "by a dropped acquire").await?;
    b.lock("l").acquire().await?.release().await?;
    Ok(())
}

async fn acquire_dropped_while_waiting_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let held = b.lock("l").acquire().await?;
    let lock = a.lock("l");
    drop_at_every_await(|| lock.acquire(), 12).await?;
    drop_at_every_await(|| lock.acquire_timeout(Duration::from_millis(5)), 12).await.ok();
    let alone = async || {
        let queue = lock.inspect().await?;
        Ok(queue.waiters.is_empty() && queue.holders.len() == 1)
    };
    eventually("the queue has no waiter", PATIENCE, alone).await?;
    ensure!(held.is_held());
    held.verify().await?;
    held.release().await?;
    is_empty_soon(&b, "by a dropped waiter").await
}

async fn try_acquire_dropped_at_any_await_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    for hold in [true, false] {
        let held = if hold { Some(b.lock("l").acquire().await?) } else { None };
        let lock = a.lock("l");
        drop_at_every_await(|| lock.try_acquire(), 30).await?;
        drop(held);
        is_empty_soon(&b, "by a dropped try_acquire").await?;
    }
    Ok(())
}

async fn a_dropped_waiter_does_not_hold_up_the_next(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let held = a.lock("l").acquire().await?;
    let (first, second) = (b.lock("l"), a.lock("l"));
    let gives_up = tokio::spawn(async move { first.acquire().await });
    let one_waits = async || Ok(a.lock("l").inspect().await?.waiters.len() == 1);
    eventually("the first waits", PATIENCE, one_waits).await?;
    let next = tokio::spawn(async move { second.acquire().await });
    let two_wait = async || Ok(a.lock("l").inspect().await?.waiters.len() == 2);
    eventually("the second waits", PATIENCE, two_wait).await?;
    gives_up.abort();
    held.release().await?;
    drop(super::fixtures::ends("the turn of the second", next).await?);
    Ok(())
}

async fn ten_thousand_dropped_acquires_leave_nothing(context: Context) -> Result<(), Failure> {
    const TOTAL: usize = 10_000;
    let (a, b) = pair(&context).await?;
    // The lock is held, so every acquire must wait.
    let held = b.lock("l").acquire().await?;
    stream::iter((0..TOTAL).map(Ok))
        .try_for_each_concurrent(100, |index| {
            let (lock, polls, micros) = (a.lock("l"), index % 5, rand::rng().random_range(0..3_000));
            async move {
                let limit = Duration::from_micros(micros);
                let granted = timeout(limit, poll_then_drop(polls, lock.acquire())).await.ok().flatten();
                ensure!(
                    granted.is_none_or(|outcome| outcome.is_err()),
                    "the lock was granted while another client holds it"
                );
                Ok::<_, Failure>(())
            }
        })
        .await?;
    let alone = async || {
        let queue = b.lock("l").inspect().await?;
        Ok(queue.waiters.is_empty() && queue.holders.len() == 1)
    };
    eventually("nothing is left of ten thousand", PATIENCE * 3, alone).await?;
    held.verify().await?;
    held.release().await?;
    drop(soon("an acquire after them all", a.lock("l").acquire()).await?);
    Ok(())
}
