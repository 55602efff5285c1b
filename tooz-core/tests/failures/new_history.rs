//! A server that was emptied: its numbers start again, and the clients that follow it must not miss the new ones.

use std::time::Duration;

use tokio::time::timeout;
use tooz_core::{ErrorKind, GroupEvent, Offset, StartAt};

use super::wrapper::Control;

#[tokio::test(start_paused = true)]
async fn an_observer_sees_the_leaders_of_an_emptied_server_although_their_terms_are_smaller() {
    let control = Control::named("terms");
    let (a, b) = (control.builder("a").connect().await.unwrap(), control.builder("b").connect().await.unwrap());
    let mut leaders = b.election("e").observe();
    for _ in 0..5 {
        a.election("e").campaign().await.unwrap().resign().await.unwrap();
    }
    let before = a.election("e").campaign().await.unwrap();
    while leaders.next().await.unwrap().is_none_or(|leader| leader.term != before.term()) {}
    control.empty_server(&["a", "b"]).await;
    assert!(before.lost().await.is_session_lost());
    let after = a.election("e").campaign().await.unwrap();
    assert!(after.term() < before.term());
    let seen = async { while leaders.next().await.unwrap().is_none_or(|leader| leader.term != after.term()) {} };
    timeout(Duration::from_secs(60), seen).await.expect("the observer sees the new leader");
}

#[tokio::test(start_paused = true)]
async fn an_observer_of_one_history_ignores_smaller_terms_after_a_loss_of_the_session() {
    let control = Control::named("one-history");
    let (a, b) = (control.builder("a").connect().await.unwrap(), control.builder("b").connect().await.unwrap());
    let mut leaders = b.election("e").observe();
    let leadership = a.election("e").campaign().await.unwrap();
    assert_eq!(leaders.next().await.unwrap().map(|leader| leader.term), Some(leadership.term()));
    control.server().expire("b");
    assert!(timeout(Duration::from_secs(60), leaders.next()).await.is_err(), "the leader has not changed");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_of_an_emptied_server_gets_one_gap_and_all_messages_after_it() {
    let control = Control::named("offsets");
    let (a, b) = (control.builder("a").connect().await.unwrap(), control.builder("b").connect().await.unwrap());
    let mut subscription = b.topic("t").subscribe(StartAt::Earliest).await.unwrap();
    for _ in 0..5 {
        a.topic("t").publish(b"before").await.unwrap();
        assert_eq!(subscription.next().await.unwrap().payload, b"before");
    }
    control.empty_server(&["a", "b"]).await;
    a.topic("t").publish(b"first").await.unwrap();
    let next = timeout(Duration::from_secs(60), subscription.next()).await.expect("the subscriber is not deaf");
    assert_eq!(next.unwrap_err().kind(), ErrorKind::Gap);
    assert_eq!(subscription.next().await.unwrap().payload, b"first");
    a.topic("t").publish(b"second").await.unwrap();
    assert_eq!(subscription.next().await.unwrap().payload, b"second");
}

#[tokio::test(start_paused = true)]
async fn an_outage_after_the_server_was_emptied_is_no_error_of_a_subscription() {
    let control = Control::named("outage-after");
    let a = control.builder("a").connect().await.unwrap();
    // Requests time out long before the session is lost.
    let b = control.builder("b").timeout(Duration::from_millis(100)).connect().await.unwrap();
    a.topic("t").publish(b"before").await.unwrap();
    let mut subscription = b.topic("t").subscribe(StartAt::Earliest).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().payload, b"before");
    control.empty_server(&["a", "b"]).await;
    b.lock("l").acquire().await.unwrap().release().await.unwrap();
    control.server().pause();
    let next = timeout(Duration::from_secs(120), subscription.next()).await;
    assert!(next.is_err(), "the subscription waits for the server: {next:?}");
    control.server().resume();
    a.topic("t").publish(b"first").await.unwrap();
    assert_eq!(subscription.next().await.unwrap_err().kind(), ErrorKind::Gap);
    assert_eq!(subscription.next().await.unwrap().payload, b"first");
}

#[tokio::test(start_paused = true)]
async fn resuming_at_an_offset_of_an_earlier_history_gets_one_gap() {
    let control = Control::named("resume");
    let a = control.builder("a").connect().await.unwrap();
    let newest = a.topic("t").publish(b"only").await.unwrap();
    for after in [Offset(newest.0 + 7), Offset(u64::MAX)] {
        let mut subscription = a.topic("t").subscribe(StartAt::After(after)).await.unwrap();
        let next = timeout(Duration::from_secs(60), subscription.next()).await.expect("the subscriber is not deaf");
        assert_eq!(next.unwrap_err().kind(), ErrorKind::Gap);
        assert_eq!(subscription.next().await.unwrap().payload, b"only");
    }
    let mut present = a.topic("t").subscribe(StartAt::After(newest)).await.unwrap();
    assert!(timeout(Duration::from_secs(60), present.next()).await.is_err(), "there is no gap and no message");
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_group_follows_it_into_an_emptied_server() {
    let control = Control::named("watch");
    let (a, b) = (control.builder("a").connect().await.unwrap(), control.builder("b").connect().await.unwrap());
    a.group("g").create().await.unwrap();
    let membership = a.group("g").join(()).await.unwrap();
    let mut watch = b.group("g").watch().await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), GroupEvent::Joined(_)));
    control.empty_server(&["a"]).await;
    let ended = timeout(Duration::from_secs(60), membership.joined()).await.expect("the group is gone").unwrap_err();
    assert!(ended.kind() == ErrorKind::MemberNotJoined && ended.to_string().contains("no longer exists"), "{ended}");
    a.group("g").create().await.unwrap();
    let successor = a.group("g").join(()).await.unwrap();
    // Only now does the watching client notice.
    tooz_core::memory::Server::named("watch-0").expire("b");
    assert!(matches!(watch.next().await.unwrap(), GroupEvent::Left(_)));
    assert_eq!(watch.next().await.unwrap(), GroupEvent::Resync);
    let joined = watch.next().await.unwrap();
    assert!(matches!(joined, GroupEvent::Joined(member) if Some(member.incarnation()) == successor.incarnation()));
}
