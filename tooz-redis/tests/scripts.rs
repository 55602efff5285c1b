//! Each Lua script on its own, against a real server: the scripts of rosters.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::fixture::{DECLARED, Fixture, LOCK, key, received, settle, source};

#[tokio::test]
async fn enter_admits_the_first_and_queues_the_rest() {
    let fixture = Fixture::new().await;
    let first = fixture.enter("a", "01").await;
    let second = fixture.enter("b", "02").await;
    assert_eq!((first[0].as_str(), second[0].as_str()), ("ADMITTED", "WAITING"));
    assert_eq!(second[2], first[1]);
    assert!(second[1].parse::<u64>().unwrap() > first[1].parse().unwrap());
    assert_eq!(fixture.enter("a", "01").await, first, "a repeated attempt finds its own entry");
    assert_eq!(fixture.enter("b", "02").await, second);
}

#[tokio::test]
async fn enter_follows_the_rule_of_shared_entries() {
    let fixture = Fixture::new().await;
    for (nonce, mode, status) in
        [("01", "s", "ADMITTED"), ("02", "s", "ADMITTED"), ("03", "x", "WAITING"), ("04", "s", "WAITING")]
    {
        assert_eq!(fixture.enter_as("a", nonce, mode, "1").await[0], status, "{nonce}");
    }
}

#[tokio::test]
async fn enter_counts_up_to_the_limit() {
    let fixture = Fixture::new().await;
    for (nonce, status) in [("01", "ADMITTED"), ("02", "ADMITTED"), ("03", "WAITING")] {
        assert_eq!(fixture.enter_as("a", nonce, "x", "2").await[0], status, "{nonce}");
    }
}

#[tokio::test]
async fn enter_refuses_dead_sessions_withdrawn_nonces_and_undeclared_rosters() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.enter("dead", "01").await, ["LOST"]);
    assert_eq!(fixture.withdraw("a", "02").await, ["DONE"]);
    assert_eq!(fixture.enter("a", "02").await, ["TOMBSTONE"]);
    let args = [&*key("a"), "03", "m", "1", "03 a m 1 - ", "", "declared"];
    assert_eq!(fixture.run(source!(enter), LOCK, &args).await, ["UNDECLARED"]);
    let declare = [&*key("a"), DECLARED, "x"];
    assert_eq!(fixture.run(source!(declare), LOCK, &declare).await, ["DONE"]);
    assert_eq!(fixture.run(source!(declare), LOCK, &declare).await, ["NONE"]);
    assert_eq!(fixture.run(source!(enter), LOCK, &args).await[0], "ADMITTED");
}

#[tokio::test]
async fn enter_with_withdraw_leaves_nothing() {
    let fixture = Fixture::new().await;
    let held = fixture.enter("a", "01").await;
    let before = fixture.keys().await;
    let reply = fixture.run(source!(enter), LOCK, &[&key("b"), "02", "x", "1", "02 b x 1 - ", "withdraw"]).await;
    assert_eq!(reply, ["WITHDRAWN", &held[1]]);
    assert_eq!(fixture.keys().await, before);
    assert_eq!(fixture.nonces().await, ["01"]);
}

#[tokio::test]
async fn enter_removes_entries_of_dead_sessions() {
    let fixture = Fixture::new().await;
    fixture.enter("a", "01").await;
    fixture.enter("b", "02").await;
    fixture.expire("a").await;
    fixture.expire("b").await;
    assert_eq!(fixture.enter("c", "03").await[0], "ADMITTED");
    fixture.open("a", 1000).await;
    assert_eq!(fixture.nonces().await, ["03"]);
}

#[tokio::test]
async fn every_change_is_published_with_its_versions_while_a_client_follows() {
    let fixture = Fixture::new().await;
    let mut changes = fixture.listen_on(LOCK).await;
    fixture.enter_and_leave("a", LOCK).await;
    settle().await;
    assert_eq!(received(&mut changes), [""; 0]);
    let reply = fixture.run(source!(snapshot), LOCK, &[&key("a"), "follow"]).await;
    let mut version = reply[2].clone();
    let seq = fixture.enter_keyed("a", "01", "refuse").await.swap_remove(1);
    fixture.run(source!(replace), LOCK, &[&key("a"), &format!("{seq} 01 a m 1 "), "new"]).await;
    let successor = fixture.enter_keyed("b", "02", "take-over").await.swap_remove(1);
    fixture.leave_as("b", &format!("{successor} 02 b m 1 ")).await;
    let expected = [
        format!("entered {seq} 01 a m 1 2 idvalue"),
        format!("value {seq} 01 a m 1 2 idnew"),
        format!("replaced {seq}"),
        format!("entered {successor} 02 b m 1 2 idvalue"),
        format!("left {successor}"),
    ];
    settle().await;
    let published = received(&mut changes);
    assert_eq!(published.len(), expected.len());
    for (message, expected) in published.iter().zip(expected) {
        let parts: Vec<_> = message.splitn(3, ' ').collect();
        assert_eq!((parts[0], parts[2]), (&*version, &*expected));
        assert!(parts[1].parse::<u64>().unwrap() > version.parse().unwrap());
        version = parts[1].to_owned();
    }
    let reply = fixture.run(source!(echo), &key("a"), &[LOCK, "{t}:lock:other"]).await;
    assert_eq!(reply[2..], [version, "0".to_owned()]);
}

#[tokio::test]
async fn a_roster_is_read_in_pages() {
    let fixture = Fixture::new().await;
    let mut expected = Vec::new();
    for number in 0..750 {
        let (nonce, mode) = (format!("{number:04x}"), ["x", "s", "m"][number % 3]);
        fixture.enter_as("a", &nonce, mode, "1").await;
        expected.push(nonce);
    }
    let (first, is_last) = page(&fixture, &[]).await;
    assert!(first.len() < 520 && !is_last, "{}", first.len());
    let last: Vec<_> = first.last().unwrap().split(' ').collect();
    let (rest, is_last) = page(&fixture, &[last[3], last[0]]).await;
    assert!(is_last);
    let mut nonces: Vec<_> = first.iter().chain(&rest).map(|record| record.split(' ').nth(1).unwrap()).collect();
    nonces.sort_unstable();
    assert_eq!(nonces, expected);
}

#[tokio::test]
async fn a_page_of_large_values_is_short() {
    let fixture = Fixture::new().await;
    let value = "v".repeat(100_000);
    for number in 0..50 {
        let nonce = format!("{number:04x}");
        let record = format!("{nonce} a m 1 - {value}");
        fixture.run(source!(enter), LOCK, &[&key("a"), &nonce, "m", "1", &record]).await;
    }
    let (first, is_last) = page(&fixture, &[]).await;
    assert!(first.len() < 50 && !is_last, "{}", first.len());
    let last: Vec<_> = first.last().unwrap().split(' ').collect();
    let (second, is_last) = page(&fixture, &[last[3], last[0]]).await;
    assert!(second.len() < 50 && !is_last, "{}", second.len());
    let last: Vec<_> = second.last().unwrap().split(' ').collect();
    let (third, is_last) = page(&fixture, &[last[3], last[0]]).await;
    assert!(is_last);
    assert_eq!(first.len() + second.len() + third.len(), 50);
}

/// The records of the page after an entry, and whether it is the last page.
async fn page(fixture: &Fixture, after: &[&str]) -> (Vec<String>, bool) {
    let mut reply = fixture.run(source!(snapshot), LOCK, &[&[&*key("a"), ""], after].concat()).await;
    let records = reply.split_off(4);
    (records, reply[3] == "1")
}

#[tokio::test]
async fn a_dead_session_is_lost_whatever_else_there_is() {
    let fixture = Fixture::new().await;
    let seq = fixture.enter("a", "01").await.swap_remove(1);
    fixture.enter("b", "02").await;
    assert_eq!(fixture.withdraw("a", "03").await, ["DONE"]);
    fixture.expire("a").await;
    assert_eq!(fixture.leave("a", "01", &seq).await, ["LOST"]);
    assert_eq!(fixture.enter("a", "03").await, ["LOST"]);
}

#[tokio::test]
async fn what_a_removal_by_hand_left_goes_with_the_last_entry() {
    let fixture = Fixture::new().await;
    fixture.enter("a", "01").await;
    fixture.enter("b", "02").await;
    fixture.server.ask(&["DEL", LOCK]).await.unwrap();
    let first = fixture.enter("c", "03").await.swap_remove(1);
    let second = fixture.enter("b", "04").await.swap_remove(1);
    assert_eq!(fixture.leave("c", "03", &first).await, ["DONE"]);
    assert_eq!(fixture.leave("b", "04", &second).await, ["DONE"]);
    assert_eq!(fixture.keys().await.iter().filter(|key| key.starts_with(LOCK)).count(), 0);
}

#[tokio::test]
async fn enter_keeps_unique_keys_unique() {
    let fixture = Fixture::new().await;
    let mut losses = fixture.listen("a").await;
    assert_eq!(fixture.enter_keyed("a", "01", "refuse").await[0], "ADMITTED");
    assert_eq!(fixture.enter_keyed("b", "02", "refuse").await, ["TAKEN"]);
    assert_eq!(fixture.enter_keyed("b", "03", "take-over").await[0], "ADMITTED");
    settle().await;
    assert_eq!(received(&mut losses), ["removed 01 a"]);
    assert_eq!(fixture.nonces().await, ["03"]);
    fixture.expire("b").await;
    assert_eq!(fixture.enter_keyed("c", "04", "refuse").await[0], "ADMITTED", "a dead session has no member");
}

#[tokio::test]
async fn leave_compares_the_ticket_and_notifies_the_successor_alone() {
    let fixture = Fixture::new().await;
    let (mut b, mut c) = (fixture.listen("b").await, fixture.listen("c").await);
    let seq = fixture.enter("a", "01").await[1].clone();
    fixture.enter("b", "02").await;
    fixture.enter("c", "03").await;
    assert_eq!(fixture.leave("a", "01", "7").await, ["NONE"]);
    assert_eq!(fixture.leave("b", "01", &seq).await, ["NONE"], "an entry of another session");
    assert_eq!(fixture.leave("dead", "01", &seq).await, ["LOST"]);
    assert_eq!(fixture.leave("a", "01", &seq).await, ["DONE"]);
    assert_eq!(fixture.leave("a", "01", &seq).await, ["NONE"]);
    settle().await;
    assert_eq!((received(&mut b), received(&mut c)), (vec!["admitted 02 b".to_owned()], vec![]));
}

#[tokio::test]
async fn dead_waiters_are_passed_over() {
    let fixture = Fixture::new().await;
    let mut c = fixture.listen("c").await;
    let seq = fixture.enter("a", "01").await[1].clone();
    fixture.enter("b", "02").await;
    fixture.enter("c", "03").await;
    fixture.expire("b").await;
    assert_eq!(fixture.leave("a", "01", &seq).await, ["DONE"]);
    fixture.run(source!(echo), &key("c"), &[]).await;
    settle().await;
    assert!(received(&mut c).contains(&"admitted 03 c".to_owned()));
}

#[tokio::test]
async fn leave_notifies_all_readers_that_it_admits() {
    let fixture = Fixture::new().await;
    let mut b = fixture.listen("b").await;
    let seq = fixture.enter("a", "01").await[1].clone();
    for (nonce, mode) in [("02", "s"), ("03", "s"), ("04", "x"), ("05", "s")] {
        fixture.enter_as("b", nonce, mode, "1").await;
    }
    fixture.leave("a", "01", &seq).await;
    settle().await;
    assert_eq!(received(&mut b), ["admitted 02 b", "admitted 03 b"]);
}

#[tokio::test]
async fn leave_finds_a_later_entry_with_a_greater_limit() {
    let fixture = Fixture::new().await;
    let mut b = fixture.listen("b").await;
    let seq = fixture.enter_as("a", "01", "x", "3").await[1].clone();
    fixture.enter_as("a", "02", "x", "3").await;
    fixture.enter_as("a", "03", "x", "3").await;
    assert_eq!(fixture.enter_as("a", "04", "x", "2").await[0], "WAITING");
    assert_eq!(fixture.enter_as("b", "05", "x", "4").await[0], "WAITING");
    fixture.leave_as("a", &format!("{seq} 01 a x 3 ")).await;
    settle().await;
    assert_eq!(received(&mut b), ["admitted 05 b"]);
}

#[tokio::test]
async fn withdraw_removes_the_entry_and_leaves_a_tombstone() {
    let fixture = Fixture::new().await;
    fixture.enter("a", "01").await;
    let seq = fixture.enter("b", "02").await[1].clone();
    assert_eq!(fixture.withdraw("a", "01").await, ["DONE"]);
    assert_eq!(fixture.wait("b", "02", &seq).await, ["ADMITTED"]);
    assert_eq!(fixture.enter("a", "01").await, ["TOMBSTONE"]);
    assert_eq!(fixture.withdraw("dead", "01").await, ["LOST"]);
}

#[tokio::test]
async fn replace_keeps_the_seq_and_the_key() {
    let fixture = Fixture::new().await;
    let seq = fixture.enter_keyed("a", "01", "refuse").await[1].clone();
    let ticket = format!("{seq} 01 a m 1 ");
    for _ in 0..2 {
        assert_eq!(fixture.run(source!(replace), LOCK, &[&key("a"), &ticket, "new"]).await, ["DONE"]);
        let reply = fixture.run(source!(snapshot), LOCK, &[&key("a")]).await;
        assert_eq!(reply[4..], [format!("{seq} 01 a m 1 2 idnew")]);
    }
    assert_eq!(fixture.run(source!(replace), LOCK, &[&key("a"), "7 01 a m 1 ", "new"]).await, ["NONE"]);
    assert_eq!(fixture.run(source!(replace), LOCK, &[&key("dead"), &ticket, "new"]).await, ["LOST"]);
}

#[tokio::test]
async fn evict_notifies_the_owner_and_the_successor() {
    let fixture = Fixture::new().await;
    let (mut a, mut b) = (fixture.listen("a").await, fixture.listen("b").await);
    let seq = fixture.enter("a", "01").await[1].clone();
    fixture.enter("b", "02").await;
    assert_eq!(fixture.run(source!(evict), LOCK, &[&key("c"), &seq]).await, ["DONE"]);
    assert_eq!(fixture.run(source!(evict), LOCK, &[&key("c"), &seq]).await, ["NONE"]);
    settle().await;
    assert_eq!(
        (received(&mut a), received(&mut b)),
        (vec!["removed 01 a".to_owned()], vec!["admitted 02 b".to_owned()])
    );
}

#[tokio::test]
async fn wait_says_when_a_session_may_be_over() {
    let fixture = Fixture::new().await;
    fixture.enter("a", "01").await;
    let seq = fixture.enter("b", "02").await[1].clone();
    let reply = fixture.wait("b", "02", &seq).await;
    assert_eq!(reply[0], "WAITING");
    assert!((50_000..=60_000).contains(&reply[1].parse::<u64>().unwrap()), "{reply:?}");
    fixture.expire("a").await;
    assert_eq!(fixture.wait("b", "02", &seq).await, ["ADMITTED"]);
    assert_eq!(fixture.wait("b", "02", "7").await, ["NONE"]);
    assert_eq!(fixture.wait("dead", "02", &seq).await, ["LOST"]);
}

#[tokio::test]
async fn snapshot_leaves_out_dead_sessions_and_notifies_the_entries_that_this_admits() {
    let fixture = Fixture::new().await;
    let mut c = fixture.listen("c").await;
    fixture.enter("b", "01").await;
    fixture.enter("c", "02").await;
    fixture.expire("b").await;
    assert_eq!(fixture.nonces().await, ["02"]);
    settle().await;
    assert_eq!(received(&mut c), ["admitted 02 c"]);
    assert_eq!(fixture.run(source!(snapshot), LOCK, &[&key("dead")]).await, ["LOST"]);
}

#[tokio::test]
async fn retract_wants_an_empty_declared_roster() {
    let fixture = Fixture::new().await;
    let args = [&*key("a"), DECLARED, "x"];
    assert_eq!(fixture.run(source!(retract), LOCK, &args).await, ["UNDECLARED"]);
    fixture.run(source!(declare), LOCK, &args).await;
    fixture.enter("b", "01").await;
    assert_eq!(fixture.run(source!(retract), LOCK, &args).await, ["NOT_EMPTY"]);
    fixture.expire("b").await;
    assert_eq!(fixture.run(source!(retract), LOCK, &args).await, ["DONE"]);
}
