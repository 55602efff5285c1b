//! Each Lua script on its own, against a real server: the scripts of sessions and topics, and what they leave behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use fred::prelude::*;
use fred::types::CustomCommand;
use support::fixture::{Fixture, LOCK, key, received, settle, source};

#[tokio::test]
async fn numbers_rise_without_the_counter() {
    let fixture = Fixture::new().await;
    let before: u64 = fixture.enter("a", "01").await[1].parse().unwrap();
    let _: () = fixture.client.flushall(false).await.unwrap();
    fixture.open("a", 60_000).await;
    assert!(fixture.enter("a", "02").await[1].parse::<u64>().unwrap() > before);
    // A counter that is ahead of the clock, as after a clock that was set back, goes on by one.
    let ahead = 8_000_000_000_000_000_u64;
    let _: () = fixture.client.set("{t}:seq", ahead.to_string(), None, None, false).await.unwrap();
    assert_eq!(fixture.enter("a", "03").await[1], (ahead + 1).to_string());
    assert_eq!(fixture.enter("a", "04").await[1], (ahead + 2).to_string());
}

#[tokio::test]
async fn nothing_is_left_when_all_have_left() {
    let fixture = Fixture::new().await;
    let before = fixture.keys().await;
    fixture.enter_and_leave("a", LOCK).await;
    let seq = fixture.enter_keyed("a", "01", "refuse").await[1].clone();
    let first = fixture.enter("a", "02").await[1].clone();
    let second = fixture.enter("b", "03").await[1].clone();
    fixture.leave_as("a", &format!("{seq} 01 a m 1 ")).await;
    fixture.leave("b", "03", &second).await;
    fixture.leave("a", "02", &first).await;
    assert_eq!(fixture.keys().await, before);
}

#[tokio::test]
async fn close_removes_every_entry_and_notifies_the_successors() {
    let fixture = Fixture::new().await;
    let mut b = fixture.listen("b").await;
    fixture.enter("a", "01").await;
    fixture.enter("b", "02").await;
    for number in 0..150 {
        fixture.enter_at("a", &format!("{{t}}:lock:{number}"), &format!("{number:08}")).await;
    }
    for status in ["MORE", "MORE", "MORE", "DONE", "DONE"] {
        assert_eq!(fixture.run(source!(close), &key("a"), &["a"]).await, [status]);
    }
    settle().await;
    assert_eq!(received(&mut b), ["admitted 02 b"]);
    let rest = fixture.keys().await;
    assert!(
        rest.iter().all(|key| !key.contains("session:a") && (!key.contains(":lock:") || key.contains(":lock:x"))),
        "{rest:?}"
    );
}

#[tokio::test]
async fn echo_removes_what_a_dead_session_left() {
    let fixture = Fixture::new().await;
    fixture.enter("a", "01").await;
    fixture.expire("a").await;
    assert_eq!(fixture.run(source!(echo), &key("b"), &[]).await[0], "DONE");
    let rest = fixture.keys().await;
    assert!(!rest.iter().any(|key| key.contains(":lock:") || key.contains("session:a")), "{rest:?}");
}

#[tokio::test]
async fn no_call_removes_more_than_fifty_entries() {
    let fixture = Fixture::new().await;
    for number in 0..130 {
        fixture.enter_at("a", &format!("{{t}}:lock:{number}"), &format!("{number:08}")).await;
    }
    fixture.expire("a").await;
    let locks = async || fixture.keys().await.iter().filter(|key| key.contains(":lock:")).count();
    for (status, rest) in [("MORE", 80), ("MORE", 30), ("DONE", 0)] {
        assert_eq!(fixture.run(source!(echo), &key("b"), &[]).await[0], status);
        assert_eq!(locks().await, rest);
    }
}

#[tokio::test]
async fn no_call_notifies_more_than_fifty_waiters() {
    let fixture = Fixture::new().await;
    let seq = fixture.enter("a", "01").await.swap_remove(1);
    for number in 0..130 {
        fixture.enter_as("b", &format!("{number:08x}"), "s", "1").await;
    }
    let waiting = async || fixture.server.ask(&["ZCARD", "{t}:lock:x:waiting"]).await.unwrap().as_u64().unwrap();
    assert_eq!(waiting().await, 130);
    assert_eq!(fixture.leave("a", "01", &seq).await, ["DONE", "MORE"]);
    for (status, rest) in [("MORE", 80), ("DONE", 30)] {
        assert_eq!(waiting().await, rest);
        assert_eq!(fixture.run(source!(echo), &key("c"), &[]).await[0], status);
    }
    assert_eq!(waiting().await, 0);
}

#[tokio::test]
async fn a_renewed_session_is_not_over_when_its_first_deadline_passes() {
    let fixture = Fixture::new().await;
    fixture.enter("a", "01").await;
    fixture.server.ask(&["ZADD", "{t}:sessions", "1", "a"]).await.unwrap();
    assert_eq!(fixture.enter("b", "02").await[0], "WAITING");
    let reply = fixture.run(source!(echo), &key("b"), &[]).await;
    assert!(reply[1].parse::<u64>().unwrap() > 50_000, "{reply:?}: the deadline was corrected");
}

#[tokio::test]
async fn entries_lists_what_a_session_has() {
    let fixture = Fixture::new().await;
    fixture.enter("a", "01").await;
    assert_eq!(fixture.entries_of("a").await, ["01"]);
    let seq = fixture.enter("b", "02").await.swap_remove(1);
    assert_eq!(fixture.entries_of("a").await, ["01"]);
    fixture.leave("b", "02", &seq).await;
    assert_eq!(fixture.entries_of("b").await.len(), 0);
    fixture.server.ask(&["DEL", LOCK]).await.unwrap();
    assert_eq!(fixture.entries_of("a").await.len(), 0, "an entry that is not in its roster is none");
    assert_eq!(fixture.run(source!(entries), &key("dead"), &["0"]).await, ["LOST"]);
}

#[tokio::test]
async fn topics_keep_the_newest_and_know_what_is_gone() {
    let fixture = Fixture::new().await;
    let (topic, a) = ("{t}:topic:x", &*key("a"));
    assert_eq!(fixture.run(source!(bounds), topic, &[a]).await, ["BOUNDS", "0", "0"]);
    let mut offsets = Vec::new();
    for payload in ["one", "two", "three"] {
        offsets.push(fixture.run(source!(publish), topic, &[a, payload, "2"]).await.swap_remove(1));
    }
    assert!(offsets.is_sorted());
    assert_eq!(fixture.run(source!(bounds), topic, &[a]).await, ["BOUNDS", &offsets[0], &offsets[2]]);
    assert_eq!(fixture.run(source!(read), topic, &[a, "0", "1", "9"]).await, ["GAP", &offsets[0]]);
    let next = (offsets[0].parse::<u64>().unwrap() + 1).to_string();
    let reply = fixture.run(source!(read), topic, &[a, &offsets[0], &next, "9"]).await;
    assert_eq!(reply, ["MESSAGES", &offsets[1], "two", &offsets[2], "three"]);
    assert_eq!(fixture.run(source!(read), topic, &[&key("dead"), "0", "1", "9"]).await, ["LOST"]);
}

#[tokio::test]
async fn a_smaller_retention_takes_hold_in_steps() {
    let fixture = Fixture::new().await;
    let (topic, a) = ("{t}:topic:x", &*key("a"));
    for number in 0..250 {
        fixture.run(source!(publish), topic, &[a, &number.to_string(), "1000"]).await;
    }
    let reply = fixture.run(source!(publish), topic, &[a, "last", "3"]).await;
    assert_eq!((reply.len(), reply[2].as_str()), (3, "MORE"));
    for status in ["MORE", "DONE"] {
        assert_eq!(fixture.run(source!(trim), topic, &[a, "3"]).await, [status]);
    }
    let length: u64 = fixture.client.custom(CustomCommand::new_static("XLEN", None, false), vec![topic]).await.unwrap();
    assert_eq!(length, 3);
    let trimmed = fixture.run(source!(bounds), topic, &[a]).await.swap_remove(1);
    let next = (trimmed.parse::<u64>().unwrap() + 1).to_string();
    assert_eq!(fixture.run(source!(read), topic, &[a, &trimmed, &next, "9"]).await.len(), 7);
}
