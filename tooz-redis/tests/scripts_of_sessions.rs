//! Each Lua script on its own, against a real server: those of sessions and topics, and what is left behind.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use fred::prelude::*;
use fred::types::CustomCommand;
use support::stage::{LOCK, Stage, heard, settle, source};

#[tokio::test]
async fn numbers_rise_without_the_counter() {
    let stage = Stage::new().await;
    let before: u64 = stage.enter("a", "01").await[1].parse().unwrap();
    let _: () = stage.client.flushall(false).await.unwrap();
    stage.open("a", 60_000).await;
    assert!(stage.enter("a", "02").await[1].parse::<u64>().unwrap() > before);
    // A counter that is ahead of the clock, as after a clock that was set back, goes on by one.
    let ahead = 8_000_000_000_000_000_u64;
    let _: () = stage.client.set("{t}:seq", ahead.to_string(), None, None, false).await.unwrap();
    assert_eq!(stage.enter("a", "03").await[1], (ahead + 1).to_string());
    assert_eq!(stage.enter("a", "04").await[1], (ahead + 2).to_string());
}

#[tokio::test]
async fn nothing_is_left_when_all_have_left() {
    let stage = Stage::new().await;
    let before = stage.keys().await;
    stage.come_and_go("a", LOCK).await;
    let seq = stage.enter_keyed("a", "01", "refuse").await[1].clone();
    let first = stage.enter("a", "02").await[1].clone();
    let second = stage.enter("b", "03").await[1].clone();
    stage.leave_as("a", "01", &format!("{seq} m 1 a ")).await;
    stage.leave("b", "03", &second).await;
    stage.leave("a", "02", &first).await;
    let note = "{t}:session:a:entries";
    let after: Vec<_> = stage.keys().await.into_iter().filter(|key| key != "{t}:seq" && key != note).collect();
    assert_eq!(after, before);
    assert_eq!(stage.noted("a").await, [LOCK], "where it stood alone once");
}

#[tokio::test]
async fn a_session_forgets_where_it_was() {
    let stage = Stage::new().await;
    for number in 0..100 {
        stage.enter_at("a", &format!("{{t}}:lock:held-{number}"), &format!("{number:08}")).await;
    }
    for number in 0..3000 {
        let roster = format!("{{t}}:lock:{number}");
        stage.come_and_go("a", &roster).await;
        if number % 2 == 0 {
            stage.enter_at("b", &roster, &format!("{number:08}")).await;
        }
    }
    let noted = stage.noted("a").await;
    assert_eq!(noted.iter().filter(|line| line.contains("held")).count(), 100);
    // Chance says when: that it takes so long is less likely than one in ten million.
    assert!(noted.len() < 1500, "{}", noted.len());
}

#[tokio::test]
async fn what_a_dead_session_was_in_stays_with_others() {
    let stage = Stage::new().await;
    stage.come_and_go("a", LOCK).await;
    stage.enter("b", "02").await;
    stage.expire("a").await;
    stage.open("d", 1000).await;
    assert_eq!(stage.noted("a").await.len(), 0);
    assert_eq!(stage.run(source!("line" "standing"), "{t}:session:b", &["b"]).await, ["ENTRIES", "02"]);
}

#[tokio::test]
async fn close_removes_every_entry_and_tells_the_successors() {
    let stage = Stage::new().await;
    let mut b = stage.listen("b").await;
    stage.enter("a", "01").await;
    stage.enter("b", "02").await;
    for number in 0..600 {
        stage.enter_at("a", &format!("{{t}}:lock:{number}"), &format!("{number:08}")).await;
    }
    let close = source!("line" "sessions" "close");
    assert_eq!(stage.run(close, "{t}:session:a", &["a"]).await, ["MORE"]);
    assert_eq!(stage.run(close, "{t}:session:a", &["a"]).await, ["DONE"]);
    assert_eq!(stage.run(close, "{t}:session:a", &["a"]).await, ["DONE"]);
    settle().await;
    assert_eq!(heard(&mut b), ["turn 02"]);
    let rest = stage.keys().await;
    assert!(
        rest.iter().all(|key| !key.contains("session:a") && (!key.contains("lock") || key.contains("lock:x"))),
        "{rest:?}"
    );
}

#[tokio::test]
async fn open_clears_away_what_a_dead_session_left() {
    let stage = Stage::new().await;
    stage.enter("a", "01").await;
    stage.expire("a").await;
    stage.open("d", 1000).await;
    let rest = stage.keys().await;
    assert!(!rest.iter().any(|key| key.contains("lock") || key.contains("session:a")), "{rest:?}");
}

#[tokio::test]
async fn standing_lists_what_a_session_has() {
    let stage = Stage::new().await;
    stage.enter("a", "01").await;
    let standing = async || stage.run(source!("line" "standing"), "{t}:session:a", &["a"]).await;
    assert_eq!(standing().await, ["ENTRIES", "01"]);
    let seq = stage.enter("b", "02").await.swap_remove(1);
    assert_eq!(standing().await, ["ENTRIES", "01"]);
    stage.leave("b", "02", &seq).await;
    assert!(standing().await.contains(&"01".to_owned()));
    stage.come_and_go("a", "{t}:lock:y").await;
    stage.enter_at("b", "{t}:lock:y", "03").await;
    assert!(!standing().await.contains(&"03".to_owned()));
    assert_eq!(stage.run(source!("line" "standing"), "{t}:session:dead", &["dead"]).await, ["LOST"]);
}

#[tokio::test]
async fn topics_keep_the_newest_and_know_what_is_gone() {
    let stage = Stage::new().await;
    let topic = "{t}:topic:x";
    assert_eq!(stage.run(source!("bounds"), topic, &[]).await, ["BOUNDS", "0", "0"]);
    let mut offsets = Vec::new();
    for payload in ["one", "two", "three"] {
        offsets.push(stage.run(source!("number" "publish"), topic, &[payload, "2"]).await.swap_remove(1));
    }
    assert!(offsets.is_sorted());
    assert_eq!(stage.run(source!("bounds"), topic, &[]).await, ["BOUNDS", &offsets[0], &offsets[2]]);
    assert_eq!(stage.run(source!("read"), topic, &["a", "0", "1", "9"]).await, ["GAP", &offsets[0]]);
    let next = (offsets[0].parse::<u64>().unwrap() + 1).to_string();
    let reply = stage.run(source!("read"), topic, &["a", &offsets[0], &next, "9"]).await;
    assert_eq!(reply, ["MESSAGES", &offsets[1], "two", &offsets[2], "three"]);
    assert_eq!(stage.run(source!("read"), topic, &["dead", "0", "1", "9"]).await, ["LOST"]);
}

#[tokio::test]
async fn a_smaller_retention_takes_hold_at_once() {
    let stage = Stage::new().await;
    let topic = "{t}:topic:x";
    for number in 0..250 {
        stage.run(source!("number" "publish"), topic, &[&number.to_string(), "1000"]).await;
    }
    stage.run(source!("number" "publish"), topic, &["last", "3"]).await;
    let length: u64 = stage.client.custom(CustomCommand::new_static("XLEN", None, false), vec![topic]).await.unwrap();
    assert_eq!(length, 3);
    let trimmed = stage.run(source!("bounds"), topic, &[]).await.swap_remove(1);
    let next = (trimmed.parse::<u64>().unwrap() + 1).to_string();
    assert_eq!(stage.run(source!("read"), topic, &["a", &trimmed, &next, "9"]).await.len(), 7);
}
