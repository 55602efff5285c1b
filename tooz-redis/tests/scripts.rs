//! Each Lua script on its own, against a real server: those of rosters.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::stage::{LOCK, Stage, heard, key, settle, source};

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
    assert_eq!(stage.run(source!("line" "withdraw"), LOCK, &["a", "02", "60000"]).await, ["DONE"]);
    assert_eq!(stage.enter("a", "02").await, ["BARRED"]);
    stage.run(source!("line" "snapshot"), LOCK, &["b", "lock", "10"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(stage.enter("a", "02").await, ["BARRED"], "a watcher for a short time shortens nothing");
    let args = [&*key("a"), "03", "m 1 a - ", "", "lock"];
    assert_eq!(stage.run(source!(enter), LOCK, &args).await, ["UNDECLARED"]);
    assert_eq!(stage.run(source!("declare"), LOCK, &["lock"]).await, ["DONE"]);
    assert_eq!(stage.run(source!("declare"), LOCK, &["lock"]).await, ["NONE"]);
    assert_eq!(stage.run(source!(enter), LOCK, &args).await[0], "ADMITTED");
}

#[tokio::test]
async fn enter_with_withdraw_leaves_nothing() {
    let stage = Stage::new().await;
    let held = stage.enter("a", "01").await;
    let before = stage.keys().await;
    let reply = stage.run(source!(enter), LOCK, &[&key("b"), "02", "x 1 b - ", "withdraw"]).await;
    assert_eq!(reply, ["WITHDRAWN", &held[1]]);
    assert_eq!(stage.keys().await, before);
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
async fn an_entry_alone_is_published_where_somebody_watches() {
    let stage = Stage::new().await;
    let mut news = stage.listen_on(LOCK).await;
    stage.come_and_go("a", LOCK).await;
    settle().await;
    assert_eq!(heard(&mut news).len(), 0);
    stage.run(source!("line" "snapshot"), LOCK, &["b", "lock", "60000"]).await;
    stage.come_and_go("a", LOCK).await;
    settle().await;
    assert_eq!(heard(&mut news).len(), 2);
}

#[tokio::test]
async fn the_dead_are_told_so_whatever_else_there_is() {
    let stage = Stage::new().await;
    let seq = stage.enter("a", "01").await.swap_remove(1);
    stage.enter("b", "02").await;
    assert_eq!(stage.run(source!("line" "withdraw"), LOCK, &["a", "03", "60000"]).await, ["DONE"]);
    stage.run(source!("line" "snapshot"), LOCK, &["b", "lock", "60000"]).await;
    stage.expire("a").await;
    assert_eq!(stage.leave("a", "01", &seq).await, ["LOST"]);
    assert_eq!(stage.enter("a", "03").await, ["LOST"]);
}

#[tokio::test]
async fn what_was_left_by_hand_goes_with_the_last_entry() {
    let stage = Stage::new().await;
    stage.enter("a", "01").await;
    stage.enter("b", "02").await;
    stage.server.ask(&["DEL", LOCK]).await.unwrap();
    let first = stage.enter("c", "03").await.swap_remove(1);
    let second = stage.enter("b", "04").await.swap_remove(1);
    assert_eq!(stage.leave("c", "03", &first).await, ["DONE"]);
    assert_eq!(stage.leave("b", "04", &second).await, ["DONE"]);
    assert_eq!(stage.keys().await.iter().filter(|key| key.starts_with(LOCK)).count(), 0);
}

#[tokio::test]
async fn a_watcher_of_a_full_server_looks_again_soon() {
    let stage = Stage::new().await;
    stage.server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let watch = async |watched| stage.run(source!("line" "snapshot"), LOCK, &["b", "lock", watched]).await;
    assert_eq!(watch("60000").await, ["ROSTER", "0", "1000"]);
    stage.server.ask(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    assert_eq!(watch("60000").await, ["ROSTER", "0", "-1"]);
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
