//! The promises of core on every backend, tested with a paused clock and the faults of the memory driver.

use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep, timeout};
use tooz_core::memory::Server;
use tooz_core::{Capabilities, Coordinator, ErrorKind, GroupEvent, SessionState};

const TTL: Duration = Duration::from_secs(10);

async fn connect(server: &str, member: &str) -> Coordinator {
    let builder = Coordinator::builder(format!("memory://{server}")).member(member).ttl(TTL);
    builder.connect().await.expect("the memory driver connects without faults")
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_reported_a_margin_before_the_backend_can_admit_another_client() {
    let (a, b) = (connect("margin", "a").await, connect("margin", "b").await);
    let guard = a.lock("l").acquire().await.unwrap();
    let cut = Instant::now();
    Server::named("margin").partition("a").unwrap();
    let waiting = tokio::spawn(async move {
        let granted = b.lock("l").acquire().await.unwrap();
        (granted.fencing_token(), cut.elapsed())
    });
    let cause = guard.lost().await;
    let reported = cut.elapsed();
    assert!(cause.is_session_lost(), "{cause}");
    assert!(!guard.is_held());
    let (token, granted) = waiting.await.unwrap();
    let margin = granted.saturating_sub(reported);
    assert!(reported <= TTL - TTL / 10 && margin >= TTL / 20, "reported after {reported:?}, granted after {granted:?}");
    assert!(token > guard.fencing_token());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_without_a_reply_does_not_move_the_deadline() {
    let a = Coordinator::builder("memory://hang").ttl(TTL).timeout(TTL * 10).connect().await.unwrap();
    let guard = a.lock("l").acquire().await.unwrap();
    Server::named("hang").pause();
    timeout(TTL, guard.lost()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_send_of_a_renewal_with_a_late_reply() {
    let a = connect("late", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    let (server, moment) = (Server::named("late"), Duration::from_millis(10));
    sleep(TTL / 3 - moment).await;
    server.pause();
    // The renewal is sent after a third of the TTL.
    sleep(moment + Duration::from_secs(3)).await;
    server.resume();
    sleep(moment).await;
    let (remaining, latest) = (guard.remaining().unwrap(), TTL - TTL / 10 - Duration::from_secs(3));
    assert!(latest - moment * 10 < remaining && remaining <= latest, "{remaining:?} remain, not {latest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_notices_the_deadline_before_any_task_has_run() {
    let a = connect("stalled", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    assert!(guard.remaining().unwrap() <= TTL - TTL / 10);
    // The clock advances in one step, as for a stopped process: no other task runs in between.
    tokio::time::advance(TTL).await;
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn run_drops_its_future_at_the_loss() {
    let a = connect("run", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    Server::named("run").partition("a").unwrap();
    let error = guard.run(std::future::pending::<tooz_core::Result<()>>()).await.unwrap_err();
    assert!(error.is_session_lost());
    assert!(guard.release().await.unwrap_err().is_session_lost());
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_released_reports_no_loss() {
    let a = connect("clean", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    sleep(TTL * 20).await;
    assert!(guard.is_held());
    assert!(timeout(Duration::from_secs(1), guard.lost()).await.is_err());
    guard.release().await.unwrap();
    assert_eq!(Server::named("clean").entry_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn states_show_the_suspension_the_loss_and_the_next_session() {
    let a = connect("states", "a").await;
    let mut states = a.states();
    let server = Server::named("states");
    assert_eq!(states.next().await, Some(SessionState::Connected));
    server.partition("a").unwrap();
    assert!(matches!(states.next().await, Some(SessionState::Suspended { until: Some(_) })));
    server.heal();
    assert_eq!(states.next().await, Some(SessionState::Connected));
    server.expire("a");
    assert_eq!(states.next().await, Some(SessionState::Lost));
    assert_eq!(states.next().await, Some(SessionState::Connected));
    a.close().await;
    assert_eq!(states.next().await, Some(SessionState::Closed));
    assert_eq!(states.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_core_rejoins_groups_with_the_latest_capabilities_but_acquires_no_locks() {
    let (a, b) = (connect("rejoin", "a").await, connect("rejoin", "b").await);
    let group = a.group("g");
    group.create().await.unwrap();
    let membership = group.join(()).await.unwrap();
    let guard = a.lock("l").acquire().await.unwrap();
    membership.update(Capabilities::from_iter([("weight", 7)])).await.unwrap();
    let first = membership.incarnation().unwrap();
    let mut watch = b.group("g").watch().await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), GroupEvent::Joined(member) if member.incarnation() == first));

    let (cause, ()) = tokio::join!(membership.lost(), async { Server::named("rejoin").expire("a") });
    assert!(cause.is_session_lost());
    assert!(guard.lost().await.is_session_lost());
    assert!(matches!(watch.next().await.unwrap(), GroupEvent::Left(member) if member.incarnation() == first));
    let GroupEvent::Joined(back) = watch.next().await.unwrap() else { panic!("the member did not rejoin") };
    assert_eq!(membership.joined().await.unwrap(), back.incarnation());
    assert_eq!(back.capabilities().unwrap(), Capabilities::from_iter([("weight", 7)]));
    assert!(!guard.is_held());
    assert!(b.lock("l").try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_membership_that_was_taken_over_is_lost_and_does_not_rejoin() {
    let (old, new) = (connect("takeover", "a").await, connect("takeover", "a").await);
    old.group("g").create().await.unwrap();
    let first = old.group("g").join(()).await.unwrap();
    assert_eq!(new.group("g").join(()).await.unwrap_err().kind(), ErrorKind::MemberAlreadyExists);
    let second = new.group("g").join_taking_over(()).await.unwrap();
    assert!(first.lost().await.is_not_held());
    assert_eq!(first.joined().await.unwrap_err().kind(), ErrorKind::MemberNotJoined);
    assert_eq!(first.update(()).await.unwrap_err().kind(), ErrorKind::MemberNotJoined);
    assert_eq!(first.leave().await.unwrap_err().kind(), ErrorKind::MemberNotJoined);
    assert!(second.incarnation().is_some());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_guard_or_the_last_coordinator_removes_every_entry() {
    let server = Server::named("dropped");
    let a = connect("dropped", "a").await;
    drop(a.lock("l").acquire().await.unwrap());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(server.entry_count(), 0);

    let guard = a.lock("l").acquire().await.unwrap();
    drop(a);
    sleep(TTL * 3).await;
    assert!(guard.is_held(), "a guard keeps the session");
    drop(guard);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(server.entry_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_guard_dropped_during_an_outage_is_released_after_it() {
    let b = connect("dropped-out", "b").await;
    // With this timeout, requests fail more than once before the outage ends.
    let builder = Coordinator::builder("memory://dropped-out").member("a").ttl(TTL);
    let a = builder.timeout(Duration::from_millis(300)).connect().await.unwrap();
    let kept = a.lock("kept").acquire().await.unwrap();
    let server = Server::named("dropped-out");
    let guard = a.lock("l").acquire().await.unwrap();
    server.partition("a").unwrap();
    drop(guard);
    sleep(Duration::from_secs(2)).await;
    server.heal();
    let _next = timeout(TTL / 2, b.lock("l").acquire()).await.expect("the lock is released").unwrap();
    assert!(kept.is_held(), "the session was never lost");
}

#[tokio::test(start_paused = true)]
async fn after_close_every_call_fails_and_close_can_be_repeated() {
    let a = connect("closed", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    a.close().await;
    a.close().await;
    assert!(guard.lost().await.is_closed());
    assert!(a.lock("l").acquire().await.unwrap_err().is_closed());
    assert!(a.groups().await.unwrap_err().is_closed());
    assert_eq!(Server::named("closed").entry_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_is_hidden_and_a_long_one_is_reported_in_bounded_time() {
    let a = connect("outage", "a").await;
    let server = Server::named("outage");
    server.pause();
    let resumed = tokio::spawn(async move {
        sleep(Duration::from_secs(4)).await;
        Server::named("outage").resume();
    });
    a.lock("l").acquire().await.unwrap().release().await.unwrap();
    resumed.await.unwrap();
    server.pause();
    let began = Instant::now();
    assert!(a.lock("l").acquire().await.is_err());
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn breaking_a_lock_is_reported_to_its_holder() {
    let (a, b) = (connect("broken", "a").await, connect("broken", "b").await);
    let guard = a.lock("l").acquire().await.unwrap();
    let evicted = b.lock("l").break_lock().await.unwrap();
    assert_eq!(evicted[0].member, *a.member());
    assert!(guard.lost().await.is_not_held());
    assert!(guard.verify().await.unwrap_err().is_not_held());
    assert!(guard.release().await.unwrap_err().is_not_held());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_is_too_slow_for_the_ttl_is_refused() {
    let builder = Coordinator::builder("memory://x").ttl(TTL);
    for heartbeat in [Duration::ZERO, TTL] {
        let error = builder.clone().heartbeat(heartbeat).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
    }
    let error = Coordinator::builder("memory://x?tll=3s").connect().await.unwrap_err();
    assert!(error.to_string().contains("\"tll\""), "{error}");
}

#[tokio::test]
async fn ten_thousand_acquisitions_dropped_at_any_point_leave_no_entry() {
    let a = connect("cancelled", "a").await;
    let lock = a.lock("l");
    let held = lock.acquire().await.unwrap();
    let mut waiting = Vec::new();
    for index in 0..10_000_u32 {
        let mut acquire = {
            let lock = lock.clone();
            // This test polls without ever yielding, which would use up the cooperative budget of its task.
            Box::pin(unconstrained(async move { lock.acquire().await }))
        };
        for _ in 0..index % 4 {
            let _ = futures_util::poll!(&mut acquire);
        }
        if index % 10 == 0 { waiting.push(acquire) } else { drop(acquire) }
    }
    drop(waiting);
    held.release().await.unwrap();
    let server = Server::named("cancelled");
    timeout(Duration::from_secs(30), async {
        while server.entry_count() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}
