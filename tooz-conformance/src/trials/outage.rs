//! Failures of the network or of a server as users see them: no object is granted twice, nothing is left behind, and
//! every loss is reported. These trials also check R5 of the driver contract.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tooz_core::{Coordinator, ErrorKind, GroupEvent, SessionState, StartAt};

use super::coordinators::steady;
use super::fixtures::{PATIENCE, SHORT_TTL, ends, eventually, soon};
use crate::harness::joined;
use crate::proxy::{Direction, Proxies};
use crate::{Context, Failure, ensure, ensure_eq, ensure_ne};

trials! { "outage"
    PROXY:
    an_acquire_whose_reply_was_lost_holds_once,
    a_release_whose_reply_was_lost_has_released,
    a_join_whose_reply_was_lost_joins_once,
    a_guard_outlives_a_cut_connection,
    a_waiter_outlives_cut_connections,
    an_acquire_dropped_in_an_outage_leaves_nothing,
    a_watch_outlives_cut_connections,
    a_subscription_outlives_cut_connections,
    a_partitioned_holder_is_notified_before_another_is_granted,
    a_session_that_was_lost_is_followed_by_another,
    calls_end_in_time_without_an_answer,
    close_ends_in_time_without_an_answer;
    OWN_SERVER:
    a_frozen_server_is_noticed_in_time,
    a_server_that_was_killed_serves_again;
}

/// How long a client may take to recover from a fault.
const RECOVERY: Duration = Duration::from_secs(20);

/// A coordinator `a` behind proxies, and a coordinator `b` without faults.
async fn with_proxies(context: &Context) -> Result<(Coordinator, Coordinator, Proxies), Failure> {
    let (proxied, proxies) = context.proxied().await?;
    Ok((steady(&proxied, "a").await?, steady(context, "b").await?, proxies))
}

/// Like `soon`, but allows the time of a recovery.
async fn recovered<F: Future>(what: &str, future: F) -> Result<F::Output, Failure> {
    recovered_within(RECOVERY, what, future).await
}

async fn recovered_within<F: Future>(limit: Duration, what: &str, future: F) -> Result<F::Output, Failure> {
    let late =
        |_| Failure::new(format!("expected within {limit:?} after the fault: {what}\nactual: it did not happen"));
    timeout(limit, future).await.map_err(late)
}

async fn is_empty_soon(coordinator: &Coordinator) -> Result<(), Failure> {
    let clean = async || {
        let queue = coordinator.lock("l").inspect().await?;
        Ok(queue.holders.is_empty() && queue.waiters.is_empty())
    };
    Ok(eventually("the lock has no holder and no waiter", RECOVERY, clean).await?)
}

async fn an_acquire_whose_reply_was_lost_holds_once(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    for chunks in [1, 2, 1, 3, 1] {
        proxies.cut_after(chunks);
        let guard = recovered("the lock is acquired", a.lock("l").acquire()).await??;
        proxies.heal().await?;
        let queue = b.lock("l").inspect().await?;
        ensure_eq!((queue.holders.len(), queue.waiters.len()), (1, 0), "{queue:?}");
        ensure_eq!(queue.holders[0].token, guard.fencing_token());
        recovered("the lock is released", guard.release()).await??;
        is_empty_soon(&b).await?;
    }
    Ok(())
}

async fn a_release_whose_reply_was_lost_has_released(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    for _ in 0..4 {
        let guard = recovered("the lock is acquired", a.lock("l").acquire()).await??;
        proxies.cut_after(1);
        recovered("the lock is released", guard.release()).await??;
        proxies.heal().await?;
        is_empty_soon(&b).await?;
    }
    Ok(())
}

async fn a_join_whose_reply_was_lost_joins_once(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    b.group("g").create().await?;
    for _ in 0..3 {
        proxies.cut_after(1);
        let membership = recovered("the group is joined", a.group("g").join(())).await??;
        proxies.heal().await?;
        let members = b.group("g").members().await?;
        ensure_eq!(members.iter().map(|one| Some(one.incarnation())).collect::<Vec<_>>(), [membership.incarnation()]);
        recovered("the group is left", membership.leave()).await??;
        ensure!(b.group("g").members().await?.is_empty());
    }
    Ok(())
}

async fn a_guard_outlives_a_cut_connection(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    let guard = a.lock("l").acquire().await?;
    for _ in 0..3 {
        proxies.cut();
        recovered("the lock is verified", guard.verify()).await??;
        ensure!(guard.is_held());
        ensure!(b.lock("l").try_acquire().await?.is_none());
    }
    recovered("the lock is released", guard.release()).await??;
    is_empty_soon(&b).await
}

async fn a_waiter_outlives_cut_connections(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    let held = b.lock("l").acquire().await?;
    let lock = a.lock("l");
    let waiting = tokio::spawn(async move { lock.acquire().await });
    let waits = async || Ok(b.lock("l").inspect().await?.waiters.len() == 1);
    eventually("the waiter is in the queue", PATIENCE, waits).await?;
    for _ in 0..3 {
        proxies.cut();
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(
        !waiting.is_finished(),
        "the waiter returned while another client holds the lock: {:?}",
        joined(waiting).await
    );
    held.release().await?;
    let guard = recovered("the waiter is granted the lock", joined(waiting)).await??;
    ensure_eq!(b.lock("l").inspect().await?.holders.first().map(|one| one.token), Some(guard.fencing_token()));
    Ok(())
}

async fn an_acquire_dropped_in_an_outage_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    for _ in 0..3 {
        proxies.drop_replies();
        let given_up = timeout(Duration::from_millis(300), a.lock("l").acquire()).await;
        ensure!(given_up.is_err(), "the acquire returned although no reply could arrive");
        proxies.heal().await?;
        is_empty_soon(&b).await?;
    }
    // Acquired, and dropped while the server cannot be reached.
    let guard = recovered("the lock is acquired", a.lock("l").acquire()).await??;
    proxies.refuse();
    drop(guard);
    sleep(Duration::from_millis(200)).await;
    proxies.heal().await?;
    is_empty_soon(&b).await
}

async fn a_watch_outlives_cut_connections(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    b.group("g").create().await?;
    let mut watch = a.group("g").watch().await?;
    for _ in 0..3 {
        proxies.cut();
        let membership = b.group("g").join(()).await?;
        let event = recovered("the member is seen", watch.next()).await??;
        ensure!(matches!(&event, GroupEvent::Joined(member) if member.id().as_bytes() == b"b"), "{event:?}");
        membership.leave().await?;
        let event = recovered("its leaving is seen", watch.next()).await??;
        ensure!(matches!(&event, GroupEvent::Left(member) if member.id().as_bytes() == b"b"), "{event:?}");
    }
    Ok(())
}

async fn a_subscription_outlives_cut_connections(context: Context) -> Result<(), Failure> {
    if !context.info()?.topics {
        return Err(Failure::ignored("the driver says that it has no topics"));
    }
    let (a, b, proxies) = with_proxies(&context).await?;
    let mut subscription = a.topic("t").subscribe(StartAt::Latest).await?;
    for number in 0..30u8 {
        if number % 7 == 0 {
            proxies.cut();
        }
        b.topic("t").publish(&[number]).await?;
        if number % 3 == 2 {
            for number in number - 2..=number {
                let message = recovered("the message is read", subscription.next()).await??;
                ensure_eq!(message.payload, [number], "a message was lost or repeated");
            }
        }
    }
    Ok(())
}

async fn a_partitioned_holder_is_notified_before_another_is_granted(context: Context) -> Result<(), Failure> {
    let (proxied, proxies) = context.proxied().await?;
    let a = proxied.builder("a").ttl(SHORT_TTL).connect().await?;
    let b = steady(&context, "b").await?;
    let guard = a.lock("l").acquire().await?;
    let Some(most) = guard.remaining() else {
        return Err(Failure::ignored("liveness does not depend on time"));
    };
    let lock = b.lock("l");
    let next = tokio::spawn(async move {
        let granted = lock.acquire().await;
        granted.map(|granted| (granted, Instant::now()))
    });
    proxies.black_hole(Direction::Both);
    let cause = timeout(most + PATIENCE, guard.lost()).await;
    let notified = Instant::now();
    ensure!(cause.is_ok_and(|cause| cause.is_session_lost()), "the holder was not notified of the loss");
    ensure!(!guard.is_held());
    let (granted, at) =
        recovered_within(most * 2 + RECOVERY, "the next waiter is granted the lock", joined(next)).await??;
    ensure!(at > notified, "the next was granted {:?} before the holder was notified of its loss", notified - at);
    ensure!(granted.fencing_token() > guard.fencing_token());
    Ok(())
}

async fn a_session_that_was_lost_is_followed_by_another(context: Context) -> Result<(), Failure> {
    let (proxied, proxies) = context.proxied().await?;
    let a = proxied.builder("a").ttl(SHORT_TTL).connect().await?;
    let b = steady(&context, "b").await?;
    b.group("g").create().await?;
    let membership = a.group("g").join("value").await?;
    let guard = a.lock("l").acquire().await?;
    let mut states = a.states();
    ensure_eq!(states.next().await, Some(SessionState::Connected));
    if guard.remaining().is_none() {
        return Err(Failure::ignored("liveness does not depend on time"));
    }
    let before = membership.incarnation();
    proxies.refuse();
    let mut seen = Vec::new();
    while seen.last() != Some(&SessionState::Lost) {
        let state = recovered("the session is lost", states.next()).await?;
        seen.push(state.expect("expected: the session is lost, but its states ended"));
    }
    ensure!(matches!(seen[0], SessionState::Suspended { until: Some(_) }), "{seen:?}");
    ensure!(!guard.is_held());
    proxies.heal().await?;
    ensure_eq!(recovered("there is a new session", states.next()).await?, Some(SessionState::Connected));
    let after = recovered("the group is joined again", membership.joined()).await??;
    ensure_ne!(Some(after), before);
    let members = b.group("g").members().await?;
    ensure_eq!(members.iter().map(|one| one.incarnation()).collect::<Vec<_>>(), [after]);
    ensure_eq!(members[0].capabilities_as::<String>()?, "value");
    // A lost lock does not come back by itself. It can be acquired again.
    ensure!(!guard.is_held());
    drop(recovered("the lock is acquired again", a.lock("l").acquire()).await??);
    Ok(())
}

async fn calls_end_in_time_without_an_answer(context: Context) -> Result<(), Failure> {
    let (proxied, proxies) = context.proxied().await?;
    let a = proxied.builder("a").timeout(Duration::from_secs(1)).connect().await?;
    a.group("g").create().await?;
    for silent in [true, false] {
        if silent {
            proxies.black_hole(Direction::Both)
        } else {
            proxies.refuse()
        }
        let error = recovered("acquire gives up", a.lock("l").acquire())
            .await?
            .expect_err("expected: an error while the server does not answer");
        ensure!(error.is_retryable() || error.is_session_lost(), "{error}");
        let error = recovered("members gives up", a.group("g").members())
            .await?
            .expect_err("expected: an error while the server does not answer");
        ensure!(error.is_retryable() || error.is_session_lost(), "{error}");
        proxies.heal().await?;
        let works = async || Ok(a.group("g").members().await.is_ok());
        eventually("it works again", RECOVERY, works).await?;
    }
    Ok(())
}

async fn close_ends_in_time_without_an_answer(context: Context) -> Result<(), Failure> {
    let (a, b, proxies) = with_proxies(&context).await?;
    let guard = a.lock("l").acquire().await?;
    proxies.black_hole(Direction::Both);
    recovered("close has returned", a.close()).await?;
    let loss = soon("the notification of the loss", guard.lost()).await;
    ensure!(loss.kind() == ErrorKind::Closed || loss.is_session_lost(), "{loss}");
    drop(guard);
    b.close().await;
    Ok(())
}

async fn a_frozen_server_is_noticed_in_time(context: Context) -> Result<(), Failure> {
    let a = context.builder("a").ttl(SHORT_TTL).timeout(Duration::from_secs(1)).connect().await?;
    let guard = a.lock("l").acquire().await?;
    let most = guard.remaining().unwrap_or(SHORT_TTL);
    context.server()?.pause().await?;
    let cause = timeout(most + PATIENCE, guard.lost()).await;
    ensure!(cause.is_ok_and(|cause| cause.is_session_lost()), "the holder was not notified of the loss");
    ensure!(!guard.is_held());
    context.server()?.resume().await?;
    let lock = a.lock("l");
    let again = async || Ok(matches!(lock.acquire_timeout(Duration::from_secs(2)).await, Ok(guard) if guard.is_held()));
    eventually("the lock is acquired again", RECOVERY * 2, again).await?;
    Ok(())
}

async fn a_server_that_was_killed_serves_again(context: Context) -> Result<(), Failure> {
    let a = context.coordinator("a").await?;
    let guard = a.lock("l").acquire().await?;
    let lock = a.lock("l");
    let waiting = tokio::spawn(async move { lock.acquire().await });
    context.server()?.kill().await?;
    sleep(Duration::from_millis(300)).await;
    context.server()?.start_again().await?;
    context.server()?.ready().await?;
    // Whether the lock survives depends on what the server stores. In either case it has one holder.
    let (token, kept) = (guard.fencing_token(), guard.verify().await.is_ok());
    let released = guard.release().await.is_ok();
    ensure!(kept || !released, "the release succeeded although the lock was lost");
    if let Ok(next) = ends("the end of the waiter", waiting).await {
        ensure!(next.fencing_token() > token);
        drop(next);
    }
    let lock = a.lock("l");
    let again = async || {
        Ok(matches!(lock.acquire_timeout(Duration::from_secs(2)).await, Ok(next) if next.fencing_token() > token))
    };
    eventually("the lock is acquired again", RECOVERY * 2, again).await?;
    Ok(())
}
