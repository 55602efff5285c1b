//! What core promises on every backend, shown with a paused clock and the faults of the memory driver.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tooz_core::memory::Server;
use tooz_core::{Capabilities, Coordinator, ErrorKind, GroupEvent, SessionState};

const TTL: Duration = Duration::from_secs(10);

async fn connect(server: &str, member: &str) -> Coordinator {
    let builder = Coordinator::builder(format!("memory://{server}")).member(member).ttl(TTL);
    builder.connect().await.expect("the memory driver always connects")
}

#[tokio::test(start_paused = true)]
async fn the_loss_is_told_a_margin_before_the_backend_can_grant_anyone_else() {
    let (a, b) = (connect("margin", "a").await, connect("margin", "b").await);
    let guard = a.lock("l").acquire().await.unwrap();
    let cut = Instant::now();
    Server::named("margin").partition("a").unwrap();
    let waiting = tokio::spawn(async move {
        let granted = b.lock("l").acquire().await.unwrap();
        (granted.fencing_token(), cut.elapsed())
    });
    let cause = guard.lost().await;
    let told = cut.elapsed();
    assert!(cause.is_session_lost(), "{cause}");
    assert!(!guard.is_held());
    let (token, granted) = waiting.await.unwrap();
    assert!(told <= TTL - TTL / 10 && granted >= told + TTL / 20, "told after {told:?}, granted after {granted:?}");
    assert!(token > guard.fencing_token());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_does_not_hold_up_the_deadline() {
    let a = Coordinator::builder("memory://hang").ttl(TTL).timeout(TTL * 10).connect().await.unwrap();
    let guard = a.lock("l").acquire().await.unwrap();
    Server::named("hang").pause();
    timeout(TTL, guard.lost()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_sending_of_a_renewal_that_is_answered_late() {
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
async fn the_guard_knows_the_deadline_without_any_task_having_run() {
    let a = connect("stalled", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    assert!(guard.remaining().unwrap() <= TTL - TTL / 10);
    // The clock moves on at once, as for a process that was stopped: nothing else runs in between.
    tokio::time::advance(TTL).await;
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn run_cancels_its_future_at_the_loss() {
    let a = connect("run", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    Server::named("run").partition("a").unwrap();
    let error = guard.run(std::future::pending::<tooz_core::Result<()>>()).await.unwrap_err();
    assert!(error.is_session_lost());
    assert!(guard.release().await.unwrap_err().is_session_lost());
}

#[tokio::test(start_paused = true)]
async fn a_clean_release_never_fires_the_loss() {
    let a = connect("clean", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    sleep(TTL * 20).await;
    assert!(guard.is_held());
    assert!(timeout(Duration::from_secs(1), guard.lost()).await.is_err());
    guard.release().await.unwrap();
    assert_eq!(Server::named("clean").entry_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn states_tell_of_suspension_loss_and_the_next_session() {
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
async fn groups_are_joined_again_with_the_latest_capabilities_and_locks_are_not() {
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
    let GroupEvent::Joined(back) = watch.next().await.unwrap() else { panic!("not joined again") };
    assert_eq!(membership.joined().await.unwrap(), back.incarnation());
    assert_eq!(back.capabilities().unwrap(), Capabilities::from_iter([("weight", 7)]));
    assert!(!guard.is_held());
    assert!(b.lock("l").try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_taken_over_membership_is_told_and_not_joined_again() {
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
async fn dropping_a_guard_or_the_last_coordinator_leaves_nothing_behind() {
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
async fn a_guard_that_is_dropped_in_an_outage_is_released_after_it() {
    let b = connect("dropped-out", "b").await;
    // Requests fail more than once before the outage is over.
    let impatient = Coordinator::builder("memory://dropped-out").member("a").ttl(TTL);
    let a = impatient.timeout(Duration::from_millis(300)).connect().await.unwrap();
    let kept = a.lock("kept").acquire().await.unwrap();
    let server = Server::named("dropped-out");
    let guard = a.lock("l").acquire().await.unwrap();
    server.partition("a").unwrap();
    drop(guard);
    sleep(Duration::from_secs(2)).await;
    server.heal();
    let _next = timeout(TTL / 2, b.lock("l").acquire()).await.expect("it is released").unwrap();
    assert!(kept.is_held(), "the session was never lost");
}

#[tokio::test(start_paused = true)]
async fn a_closed_coordinator_fails_every_call_and_closes_twice() {
    let a = connect("closed", "a").await;
    let guard = a.lock("l").acquire().await.unwrap();
    a.close().await;
    a.close().await;
    assert!(guard.lost().await.is_session_lost());
    assert!(a.lock("l").acquire().await.unwrap_err().is_session_lost());
    assert!(a.groups().await.unwrap_err().is_session_lost());
    assert_eq!(Server::named("closed").entry_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_through_and_then_reported_in_bounded_time() {
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
async fn a_broken_lock_is_told_to_its_holder() {
    let (a, b) = (connect("broken", "a").await, connect("broken", "b").await);
    let guard = a.lock("l").acquire().await.unwrap();
    let evicted = b.lock("l").break_lock().await.unwrap();
    assert_eq!(evicted[0].member, *a.member());
    assert!(guard.lost().await.is_not_held());
    assert!(guard.verify().await.unwrap_err().is_not_held());
    assert!(guard.release().await.unwrap_err().is_not_held());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_cannot_keep_the_session_is_refused() {
    let builder = Coordinator::builder("memory://x").ttl(TTL);
    for heartbeat in [Duration::ZERO, TTL] {
        let error = builder.clone().heartbeat(heartbeat).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
    }
    let error = Coordinator::builder("memory://x?tll=3s").connect().await.unwrap_err();
    assert!(error.to_string().contains("\"tll\""), "{error}");
}

#[tokio::test]
async fn ten_thousand_acquisitions_dropped_at_any_point_leave_nothing_behind() {
    let a = connect("cancelled", "a").await;
    let lock = a.lock("l");
    let held = lock.acquire().await.unwrap();
    let mut waiting = Vec::new();
    for index in 0..10_000_u32 {
        let mut acquire = {
            let lock = lock.clone();
            Box::pin(async move { lock.acquire().await })
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
