//! Memberships that are restored through further failures.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tooz_core::{Coordinator, ErrorKind};

use super::wrapper::Control;

#[tokio::test(start_paused = true)]
async fn a_membership_is_restored_although_joining_again_fails_for_longer_than_the_timeout() {
    let control = Control::named("hiccups");
    let builder = control.builder("a").timeout(Duration::from_secs(1));
    let a = builder.connect().await.unwrap();
    a.group("g").create().await.unwrap();
    let membership = a.group("g").join(()).await.unwrap();
    // The session lives, but entering fails, for many times the timeout.
    control.fail_enters(60);
    control.server().expire("a");
    assert!(membership.lost().await.is_session_lost());
    let restored = timeout(Duration::from_secs(300), membership.joined()).await.expect("the membership is restored");
    assert_eq!(membership.incarnation(), Some(restored.unwrap()));
    assert_eq!(control.failing_enters(), 0);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(a.group("g").members().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn joined_says_that_the_group_is_gone() {
    let control = Control::named("gone");
    let (a, b) = (control.builder("a").connect().await.unwrap(), control.builder("b").connect().await.unwrap());
    a.group("g").create().await.unwrap();
    let membership = a.group("g").join(()).await.unwrap();
    control.fail_enters(3);
    control.server().expire("a");
    b.group("g").delete().await.unwrap();
    assert!(membership.lost().await.is_session_lost());
    let error = membership.joined().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemberNotJoined);
    assert!(error.to_string().contains("no longer exists"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn joined_says_that_another_client_took_over() {
    let control = Control::named("taken");
    let (old, new) = (control.builder("a").connect().await.unwrap(), control.builder("a").connect().await.unwrap());
    old.group("g").create().await.unwrap();
    let membership = old.group("g").join(()).await.unwrap();
    let _taken = new.group("g").join_taking_over(()).await.unwrap();
    assert!(membership.lost().await.is_not_held());
    let error = membership.joined().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemberNotJoined);
    assert!(error.to_string().contains("took the member id over"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_member_id_that_another_client_took_over_meanwhile_is_not_taken_back() {
    let control = Control::named("away");
    let old = control.builder("a").connect().await.unwrap();
    old.group("g").create().await.unwrap();
    let membership = old.group("g").join(()).await.unwrap();
    control.fail_enters(u32::MAX);
    control.server().expire("a");
    assert!(membership.lost().await.is_session_lost());
    let new = Coordinator::builder("memory://away-0").member("a").connect().await.unwrap();
    let joined = new.group("g").join(()).await.unwrap();
    control.fail_enters(0);
    let error = timeout(Duration::from_secs(60), membership.joined()).await.expect("the call returns").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemberNotJoined);
    assert!(error.to_string().contains("took the member id over"), "{error}");
    sleep(Duration::from_secs(60)).await;
    assert!(joined.incarnation().is_some(), "the new member was removed");
}

/// The server has carried out a request to enter whose reply was lost, together with the session that sent it.
#[tokio::test(start_paused = true)]
async fn a_membership_removes_what_its_own_earlier_attempt_has_left() {
    let control = Control::named("own-attempt");
    let a = control.builder("a").connect().await.unwrap();
    a.group("g").create().await.unwrap();
    let membership = a.group("g").join(()).await.unwrap();
    let first = membership.incarnation().unwrap();
    control.lose_enter_reply();
    control.server().expire("a");
    assert!(membership.lost().await.is_session_lost());
    let restored = timeout(Duration::from_secs(60), membership.joined()).await.expect("the membership is restored");
    assert_ne!(restored.unwrap(), first);
    assert_eq!(a.group("g").members().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_membership_that_is_dropped_while_it_is_restored_leaves_no_member() {
    let control = Control::named("dropped");
    let a = control.builder("a").timeout(Duration::from_secs(1)).connect().await.unwrap();
    a.group("g").create().await.unwrap();
    let membership = a.group("g").join(()).await.unwrap();
    control.fail_enters(u32::MAX);
    control.server().expire("a");
    sleep(Duration::from_secs(30)).await;
    drop(membership);
    sleep(Duration::from_secs(10)).await;
    control.fail_enters(0);
    sleep(Duration::from_secs(30)).await;
    assert!(a.group("g").members().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn joined_returns_when_the_coordinator_is_closed() {
    let control = Control::named("closed");
    let a = control.builder("a").connect().await.unwrap();
    a.group("g").create().await.unwrap();
    let membership = a.group("g").join(()).await.unwrap();
    a.close().await;
    let error = timeout(Duration::from_secs(60), membership.joined()).await.expect("the call returns").unwrap_err();
    assert!(error.is_closed() && error.to_string().contains("closed"), "{error}");
}
