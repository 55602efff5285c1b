//! A coordinator that is used after the runtime in which it connected has ended.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::timeout;
use tooz_core::{Result, SessionState};

use super::wrapper::Control;

fn says_so<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.expect_err("the session has ended");
    assert!(error.is_closed() && error.to_string().contains("runtime"), "{error}");
}

#[test]
fn after_the_end_of_its_runtime_each_call_fails_at_once_and_close_returns() {
    let control = Control::named("runtime");
    let first = Runtime::new().unwrap();
    let (coordinator, guard, membership, mut states) = first.block_on(async {
        let coordinator = control.builder("a").connect().await.unwrap();
        coordinator.group("g").create().await.unwrap();
        let membership = coordinator.group("g").join(()).await.unwrap();
        let guard = coordinator.lock("l").acquire().await.unwrap();
        let states = coordinator.states();
        (coordinator, guard, membership, states)
    });
    assert!(guard.is_held());
    drop(first);
    assert!(!guard.is_held());
    assert_eq!(coordinator.state(), SessionState::Closed);
    let calls = async {
        says_so::<()>(Err(guard.lost().await));
        says_so(guard.verify().await);
        says_so(coordinator.lock("m").try_acquire().await);
        says_so(coordinator.topic("t").publish(b"x").await);
        says_so(coordinator.election("e").observe().next().await);
        says_so(membership.joined().await);
        says_so(guard.release().await);
        assert_eq!(states.next().await, Some(SessionState::Connected));
        assert_eq!(states.next().await, Some(SessionState::Closed));
        assert_eq!(states.next().await, None);
        coordinator.close().await;
    };
    let began = Instant::now();
    let second = Runtime::new().unwrap();
    second.block_on(async { timeout(Duration::from_secs(20), calls).await }).expect("each call returns");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn the_session_of_the_driver_is_dropped_after_the_end_of_its_runtime() {
    let control = Control::named("runtime-drop");
    let first = Runtime::new().unwrap();
    let (coordinator, guard) = first.block_on(async {
        let coordinator = control.builder("a").connect().await.unwrap();
        let guard = coordinator.lock("l").acquire().await.unwrap();
        (coordinator, guard)
    });
    assert_eq!(control.sessions(), 1);
    drop(first);
    drop(guard);
    assert_eq!(control.sessions(), 0, "the coordinator still has the session");
    drop(coordinator);
}

#[test]
fn close_returns_although_no_thread_drives_the_runtime() {
    let control = Control::named("undriven");
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let builder = control.builder("a").timeout(Duration::from_millis(200));
    let coordinator = first.block_on(builder.connect()).unwrap();
    let second = Runtime::new().unwrap();
    second.block_on(async { timeout(Duration::from_secs(20), coordinator.close()).await }).expect("close returns");
}
