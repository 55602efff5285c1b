//! Each Lua script on its own, against a real server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use fred::prelude::*;
use support::Server;

macro_rules! source {
    ($($part:literal)+) => {
        concat!(include_str!("../src/scripts/head.lua"), $(include_str!(concat!("../src/scripts/", $part, ".lua"))),+)
    };
}

const LOCK: &str = "{t}:lock:x";

/// A server and a client that runs scripts by name.
struct Stage {
    client: Client,
    server: Server,
}

impl Stage {
    async fn new() -> Self {
        let server = Server::start(&[]).await;
        let stage = Self { client: server.plain().await, server };
        for session in ["a", "b", "c"] {
            stage.open(session, 60_000).await;
        }
        stage
    }

    /// Runs a script; numbers and words alike come back as text.
    async fn run(&self, source: &str, key: &str, args: &[&str]) -> Vec<String> {
        match self.client.eval(source, key, args.to_vec()).await.unwrap() {
            Value::Array(parts) => parts.into_iter().filter_map(|part| part.into_string()).collect(),
            words => words.as_str().unwrap().split(' ').map(str::to_owned).collect(),
        }
    }

    async fn open(&self, session: &str, ttl: u64) {
        let source = source!("line" "sessions" "open");
        let reply = self.run(source, &format!("{{t}}:session:{session}"), &[session, &ttl.to_string(), "member"]).await;
        assert_eq!(reply, ["DONE"]);
    }

    /// Ends a session without a word, as its expiry does.
    async fn expire(&self, session: &str) {
        let _: () = self.client.del(format!("{{t}}:session:{session}")).await.unwrap();
    }

    async fn enter_as(&self, session: &str, nonce: &str, mode: &str, limit: &str) -> Vec<String> {
        self.run(
            source!("enter_alone" "line" "enter"),
            LOCK,
            &[session, nonce, &format!("{mode} {limit} {session} - "), "value", "wait"],
        )
        .await
    }

    async fn enter(&self, session: &str, nonce: &str) -> Vec<String> {
        self.enter_as(session, nonce, "x", "1").await
    }

    async fn enter_keyed(&self, session: &str, nonce: &str, if_taken: &str) -> Vec<String> {
        self.run(
            source!("enter_alone" "line" "enter"),
            LOCK,
            &[session, nonce, &format!("m 1 {session} 2 "), "idvalue", "wait", "", if_taken],
        )
        .await
    }

    async fn leave(&self, session: &str, nonce: &str, seq: &str) -> Vec<String> {
        self.leave_as(session, nonce, &format!("{seq} x 1 {session} ")).await
    }

    async fn leave_as(&self, session: &str, nonce: &str, beginning: &str) -> Vec<String> {
        self.run(source!("leave_alone" "line" "leave"), LOCK, &[session, nonce, beginning]).await
    }

    async fn turn(&self, session: &str, nonce: &str, seq: &str) -> String {
        self.run(source!("line" "turn"), LOCK, &[session, nonce, seq]).await.swap_remove(0)
    }

    async fn nonces(&self) -> Vec<String> {
        let mut reply = self.run(source!("line" "snapshot"), LOCK, &["a", "lock"]).await.into_iter().skip(3);
        let mut nonces = Vec::new();
        while let (Some(nonce), Some(_)) = (reply.next(), reply.next()) {
            nonces.push(nonce);
        }
        nonces.sort();
        nonces
    }

    async fn keys(&self) -> Vec<String> {
        let Value::Array(keys) = self.server.ask(&["KEYS", "*"]).await.unwrap() else { panic!("KEYS gives a list") };
        let mut keys: Vec<String> = keys.into_iter().filter_map(|key| key.into_string()).collect();
        keys.sort();
        keys
    }

    /// What is published on a session's channel from now on.
    async fn listen(&self, session: &str) -> tokio::sync::broadcast::Receiver<fred::types::Message> {
        let client = self.server.plain().await;
        let receiver = client.message_rx();
        client.subscribe(format!("{{t}}:session:{session}")).await.unwrap();
        settle().await;
        receiver
    }
}

fn heard(receiver: &mut tokio::sync::broadcast::Receiver<fred::types::Message>) -> Vec<String> {
    std::iter::from_fn(|| receiver.try_recv().ok()).filter_map(|message| message.value.into_string()).collect()
}

async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}

#[tokio::test]
async fn enter_admits_the_first_and_lines_up_the_rest() {
    let stage = Stage::new().await;
    let first = stage.enter("a", "01").await;
    let second = stage.enter("b", "02").await;
    assert_eq!((first[0].as_str(), second[0].as_str()), ("ADMITTED", "WAITING"));
    assert_eq!(second[2], first[1]);
    assert!(second[1].parse::<u64>().unwrap() > first[1].parse().unwrap());
    assert_eq!(stage.enter("a", "01").await, first, "a repeated attempt finds its own entry");
    assert_eq!(stage.enter("b", "02").await, second);
}

#[tokio::test]
async fn enter_follows_the_rule_of_shared_entries() {
    let stage = Stage::new().await;
    for (nonce, mode, status) in
        [("01", "s", "ADMITTED"), ("02", "s", "ADMITTED"), ("03", "x", "WAITING"), ("04", "s", "WAITING")]
    {
        assert_eq!(stage.enter_as("a", nonce, mode, "1").await[0], status, "{nonce}");
    }
}

#[tokio::test]
async fn enter_counts_up_to_the_limit() {
    let stage = Stage::new().await;
    for (nonce, status) in [("01", "ADMITTED"), ("02", "ADMITTED"), ("03", "WAITING")] {
        assert_eq!(stage.enter_as("a", nonce, "x", "2").await[0], status, "{nonce}");
    }
}

#[tokio::test]
async fn enter_refuses_the_dead_the_withdrawn_and_the_undeclared() {
    let stage = Stage::new().await;
    assert_eq!(stage.enter("dead", "01").await, ["LOST"]);
    assert_eq!(stage.run(source!("line" "withdraw"), LOCK, &["a", "02", "1000"]).await, ["DONE"]);
    assert_eq!(stage.enter("a", "02").await, ["BARRED"]);
    let args = ["a", "03", "m 1 a - ", "", "wait", "lock"];
    assert_eq!(stage.run(source!("enter_alone" "line" "enter"), LOCK, &args).await, ["UNDECLARED"]);
    assert_eq!(stage.run(source!("declare"), LOCK, &["lock"]).await, ["DONE"]);
    assert_eq!(stage.run(source!("declare"), LOCK, &["lock"]).await, ["NONE"]);
    assert_eq!(stage.run(source!("enter_alone" "line" "enter"), LOCK, &args).await[0], "ADMITTED");
}

#[tokio::test]
async fn enter_with_withdraw_leaves_nothing() {
    let stage = Stage::new().await;
    let held = stage.enter("a", "01").await;
    let before = stage.keys().await;
    let reply = stage.run(source!("enter_alone" "line" "enter"), LOCK, &["b", "02", "x 1 b - ", "", "withdraw"]).await;
    assert_eq!(reply, ["WITHDRAWN", &held[1]]);
    // The entry that stood alone is indexed from now on; that is all.
    let after: Vec<_> = stage.keys().await.into_iter().filter(|key| key != "{t}:lock:x:x").collect();
    assert_eq!(after, before);
    assert_eq!(stage.nonces().await, ["01"]);
}

#[tokio::test]
async fn enter_drops_the_dead_that_stand_in_its_way() {
    let stage = Stage::new().await;
    stage.enter("a", "01").await;
    stage.enter("b", "02").await;
    stage.expire("a").await;
    stage.expire("b").await;
    assert_eq!(stage.enter("c", "03").await[0], "ADMITTED");
    stage.open("a", 1000).await;
    assert_eq!(stage.nonces().await, ["03"]);
}

#[tokio::test]
async fn enter_keeps_unique_keys_unique() {
    let stage = Stage::new().await;
    let mut losses = stage.listen("a").await;
    assert_eq!(stage.enter_keyed("a", "01", "refuse").await[0], "ADMITTED");
    assert_eq!(stage.enter_keyed("b", "02", "refuse").await, ["TAKEN"]);
    assert_eq!(stage.enter_keyed("b", "03", "take-over").await[0], "ADMITTED");
    settle().await;
    assert_eq!(heard(&mut losses), ["lost 01"]);
    assert_eq!(stage.nonces().await, ["03"]);
    stage.expire("b").await;
    assert_eq!(stage.enter_keyed("c", "04", "refuse").await[0], "ADMITTED", "the dead refuse nobody");
}

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
async fn leave_compares_the_ticket_and_tells_the_successor_alone() {
    let stage = Stage::new().await;
    let (mut b, mut c) = (stage.listen("b").await, stage.listen("c").await);
    let seq = stage.enter("a", "01").await[1].clone();
    stage.enter("b", "02").await;
    stage.enter("c", "03").await;
    assert_eq!(stage.leave("a", "01", "7").await, ["NONE"]);
    assert_eq!(stage.leave("b", "01", &seq).await, ["NONE"], "an entry of somebody else");
    assert_eq!(stage.leave("dead", "01", &seq).await, ["LOST"]);
    assert_eq!(stage.leave("a", "01", &seq).await, ["DONE"]);
    assert_eq!(stage.leave("a", "01", &seq).await, ["NONE"]);
    settle().await;
    assert_eq!((heard(&mut b), heard(&mut c)), (vec!["turn 02".to_owned()], vec![]));
}

#[tokio::test]
async fn leave_passes_over_the_dead() {
    let stage = Stage::new().await;
    let mut c = stage.listen("c").await;
    let seq = stage.enter("a", "01").await[1].clone();
    stage.enter("b", "02").await;
    stage.enter("c", "03").await;
    stage.expire("b").await;
    assert_eq!(stage.leave("a", "01", &seq).await, ["DONE"]);
    settle().await;
    assert_eq!(heard(&mut c), ["turn 03"]);
}

#[tokio::test]
async fn leave_tells_all_readers_that_it_admits() {
    let stage = Stage::new().await;
    let mut b = stage.listen("b").await;
    let seq = stage.enter("a", "01").await[1].clone();
    for (nonce, mode) in [("02", "s"), ("03", "s"), ("04", "x"), ("05", "s")] {
        stage.enter_as("b", nonce, mode, "1").await;
    }
    stage.leave("a", "01", &seq).await;
    settle().await;
    assert_eq!(heard(&mut b), ["turn 02", "turn 03"]);
}

#[tokio::test]
async fn leave_sees_a_later_entry_with_a_greater_limit() {
    let stage = Stage::new().await;
    let mut b = stage.listen("b").await;
    let seq = stage.enter_as("a", "01", "x", "3").await[1].clone();
    stage.enter_as("a", "02", "x", "3").await;
    stage.enter_as("a", "03", "x", "3").await;
    assert_eq!(stage.enter_as("a", "04", "x", "2").await[0], "WAITING");
    assert_eq!(stage.enter_as("b", "05", "x", "4").await[0], "WAITING");
    stage.leave_as("a", "01", &format!("{seq} x 3 a ")).await;
    settle().await;
    assert_eq!(heard(&mut b), ["turn 05"]);
}

#[tokio::test]
async fn nothing_is_left_when_all_have_left() {
    let stage = Stage::new().await;
    let before = stage.keys().await;
    let seq = stage.enter_keyed("a", "01", "refuse").await[1].clone();
    let first = stage.enter("a", "02").await[1].clone();
    let second = stage.enter("b", "03").await[1].clone();
    stage.leave_as("a", "01", &format!("{seq} m 1 a ")).await;
    stage.leave("b", "03", &second).await;
    stage.leave("a", "02", &first).await;
    let after: Vec<_> = stage.keys().await.into_iter().filter(|key| key != "{t}:seq").collect();
    assert_eq!(after, before);
}

#[tokio::test]
async fn withdraw_removes_and_bars() {
    let stage = Stage::new().await;
    stage.enter("a", "01").await;
    let seq = stage.enter("b", "02").await[1].clone();
    assert_eq!(stage.run(source!("line" "withdraw"), LOCK, &["a", "01", "1000"]).await, ["DONE"]);
    assert_eq!(stage.turn("b", "02", &seq).await, "ADMITTED");
    assert_eq!(stage.enter("a", "01").await, ["BARRED"]);
    assert_eq!(stage.run(source!("line" "withdraw"), LOCK, &["dead", "01", "1000"]).await, ["LOST"]);
}

#[tokio::test]
async fn replace_keeps_the_place_and_the_key() {
    let stage = Stage::new().await;
    let seq = stage.enter_keyed("a", "01", "refuse").await[1].clone();
    assert_eq!(stage.run(source!("line" "replace"), LOCK, &["a", "01", &seq, "new"]).await, ["DONE"]);
    let record = stage.server.ask(&["HGET", LOCK, "01"]).await.unwrap();
    assert_eq!(record.into_string().unwrap(), format!("{seq} m 1 a 2 idnew"));
    assert_eq!(stage.run(source!("line" "replace"), LOCK, &["a", "01", "7", "new"]).await, ["NONE"]);
    assert_eq!(stage.run(source!("line" "replace"), LOCK, &["dead", "01", &seq, "new"]).await, ["LOST"]);
}

#[tokio::test]
async fn evict_tells_the_owner_and_the_successor() {
    let stage = Stage::new().await;
    let (mut a, mut b) = (stage.listen("a").await, stage.listen("b").await);
    let seq = stage.enter("a", "01").await[1].clone();
    stage.enter("b", "02").await;
    assert_eq!(stage.run(source!("line" "evict"), LOCK, &[&seq]).await, ["DONE"]);
    assert_eq!(stage.run(source!("line" "evict"), LOCK, &[&seq]).await, ["NONE"]);
    settle().await;
    assert_eq!((heard(&mut a), heard(&mut b)), (vec!["lost 01".to_owned()], vec!["turn 02".to_owned()]));
}

#[tokio::test]
async fn turn_says_how_long_the_blocker_lives() {
    let stage = Stage::new().await;
    stage.enter("a", "01").await;
    let seq = stage.enter("b", "02").await[1].clone();
    let reply = stage.run(source!("line" "turn"), LOCK, &["b", "02", &seq]).await;
    assert_eq!(reply[0], "WAITING");
    assert!((50_000..=60_000).contains(&reply[1].parse::<u64>().unwrap()), "{reply:?}");
    stage.expire("a").await;
    assert_eq!(stage.turn("b", "02", &seq).await, "ADMITTED");
    assert_eq!(stage.turn("b", "02", "7").await, "NONE");
    assert_eq!(stage.turn("dead", "02", &seq).await, "LOST");
}

#[tokio::test]
async fn snapshot_leaves_out_the_dead_and_tells_whom_that_admits() {
    let stage = Stage::new().await;
    let mut c = stage.listen("c").await;
    stage.enter("b", "01").await;
    stage.enter("c", "02").await;
    stage.expire("b").await;
    assert_eq!(stage.nonces().await, ["02"]);
    settle().await;
    assert_eq!(heard(&mut c), ["turn 02"]);
    assert_eq!(stage.run(source!("line" "snapshot"), LOCK, &["dead", "lock"]).await, ["LOST"]);
}

#[tokio::test]
async fn retract_wants_an_empty_declared_roster() {
    let stage = Stage::new().await;
    assert_eq!(stage.run(source!("line" "retract"), LOCK, &["lock"]).await, ["UNDECLARED"]);
    stage.run(source!("declare"), LOCK, &["lock"]).await;
    stage.enter("b", "01").await;
    assert_eq!(stage.run(source!("line" "retract"), LOCK, &["lock"]).await, ["CROWDED"]);
    stage.expire("b").await;
    assert_eq!(stage.run(source!("line" "retract"), LOCK, &["lock"]).await, ["DONE"]);
}

#[tokio::test]
async fn close_removes_every_entry_and_tells_the_successors() {
    let stage = Stage::new().await;
    let mut b = stage.listen("b").await;
    stage.enter("a", "01").await;
    stage.enter("b", "02").await;
    for number in 0..600 {
        let key = format!("{{t}}:lock:{number}");
        stage
            .run(source!("enter_alone" "line" "enter"), &key, &["a", &format!("{number:08}"), "x 1 a - ", "", "wait"])
            .await;
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
    assert_eq!(stage.run(source!("standing"), "{t}:session:a", &["a"]).await, ["ENTRIES", "01"]);
    assert_eq!(stage.run(source!("standing"), "{t}:session:dead", &["dead"]).await, ["LOST"]);
}

#[tokio::test]
async fn topics_keep_the_newest_and_know_what_is_gone() {
    let stage = Stage::new().await;
    let topic = "{t}:topic:x";
    assert_eq!(stage.run(source!("bounds"), topic, &[]).await, ["BOUNDS", "0", "0"]);
    let mut offsets = Vec::new();
    for payload in ["one", "two", "three"] {
        offsets.push(stage.run(source!("publish"), topic, &[payload, "2"]).await.swap_remove(1));
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
        stage.run(source!("publish"), topic, &[&number.to_string(), "1000"]).await;
    }
    stage.run(source!("publish"), topic, &["last", "3"]).await;
    let length: u64 =
        stage.client.custom(fred::types::CustomCommand::new("XLEN", None, false), vec![topic]).await.unwrap();
    assert_eq!(length, 3);
    let trimmed = stage.run(source!("bounds"), topic, &[]).await.swap_remove(1);
    let next = (trimmed.parse::<u64>().unwrap() + 1).to_string();
    assert_eq!(stage.run(source!("read"), topic, &["a", &trimmed, &next, "9"]).await.len(), 7);
}
