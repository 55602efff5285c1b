//! Followers: a change costs one read of that change, whatever the size of the roster and whichever process made it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use rusqlite::Connection;
use rustix::process::Signal;
use tooz_core::driver::{Change, Follow, IfTaken, Key, Mode, NewEntry, Roster, Seq, Session, Ticket, Update};

async fn update(follower: &mut dyn Follow) -> Update {
    tokio::time::timeout(Duration::from_secs(5), follower.next()).await.unwrap().unwrap()
}

async fn changes(follower: &mut dyn Follow) -> Vec<Change> {
    match update(follower).await {
        Update::Changes(changes) => changes,
        other => panic!("not the changes only: {other:?}"),
    }
}

async fn join(session: &dyn Session, roster: &Roster, key: &[u8]) -> Ticket {
    let key = Key::Unique(key, IfTaken::TakeOver);
    admitted(session.enter(roster, NewEntry { key, ..entry(Mode::Member) }).await.unwrap())
}

fn entered(change: &Change) -> Seq {
    match change {
        Change::Entered(entry) => entry.seq,
        other => panic!("not a new entry: {other:?}"),
    }
}

#[tokio::test]
async fn a_change_of_a_large_roster_is_read_as_one_row() {
    let directory = tempfile::tempdir().unwrap();
    let (session, other, roster) = (open(directory.path()).await, open(directory.path()).await, group("g"));
    for number in 0..500_u16 {
        join(&*session, &roster, &number.to_be_bytes()).await;
    }
    let mut follower = other.follow(&roster);
    assert!(matches!(update(&mut *follower).await, Update::Snapshot(snapshot) if snapshot.entries.len() == 500));
    let first = join(&*session, &roster, b"new").await;
    assert_eq!(changes(&mut *follower).await.iter().map(entered).collect::<Vec<_>>(), [first.seq]);
    session.replace(&roster, &first, b"value").await.unwrap();
    let replaced = Change::Replaced { seq: first.seq, value: b"value".to_vec() };
    assert_eq!(changes(&mut *follower).await, [replaced]);
    let second = join(&*session, &roster, b"new").await;
    let take_over = changes(&mut *follower).await;
    assert_eq!((&take_over[0], entered(&take_over[1])), (&Change::Left(first.seq), second.seq));
    assert!(session.leave(&roster, &second).await.unwrap());
    assert_eq!(changes(&mut *follower).await, [Change::Left(second.seq)]);
    session.declare(&roster).await.unwrap();
    assert_eq!(changes(&mut *follower).await, [Change::Declared(true)]);
}

#[tokio::test]
async fn a_follower_that_lags_behind_the_kept_changes_reads_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let (session, roster) = (open(directory.path()).await, group("g"));
    let mut follower = session.follow(&roster);
    update(&mut *follower).await;
    for number in 0..150_u16 {
        join(&*session, &roster, &number.to_be_bytes()).await;
    }
    assert!(matches!(update(&mut *follower).await, Update::Snapshot(snapshot) if snapshot.entries.len() == 150));
    let last = join(&*session, &roster, b"last").await;
    assert_eq!(changes(&mut *follower).await.iter().map(entered).collect::<Vec<_>>(), [last.seq]);
}

#[tokio::test]
async fn changes_are_recorded_while_a_follower_lives_only() {
    let directory = tempfile::tempdir().unwrap();
    let (session, roster) = (open(directory.path()).await, group("g"));
    let db = Connection::open(directory.path().join("tooz.db")).unwrap();
    let count = |table| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
    session.declare(&roster).await.unwrap();
    join(&*session, &roster, b"before").await;
    assert_eq!(count("changes"), 0);
    let mut follower = session.follow(&roster);
    update(&mut *follower).await;
    // The worker takes less time to remove unused rows.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    join(&*session, &roster, b"while").await;
    assert_eq!(changes(&mut *follower).await.len(), 1);
    drop(follower);
    let dropped = Instant::now();
    while count("changes") + count("watchers") > 0 {
        assert!(dropped.elapsed() < Duration::from_secs(10), "the changes are still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((count("entries"), count("objects")), (2, 1));
}

#[tokio::test]
#[ignore = "a child process of the test below"]
async fn joins_a_group() {
    let session = open(&directory()).await;
    println!("joined {}", join(&*session, &group("g"), b"me").await.seq);
    read_line();
}

#[tokio::test]
async fn a_follower_learns_of_the_changes_and_the_death_of_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let (session, roster) = (open(directory.path()).await, group("g"));
    let mut follower = session.follow(&roster);
    update(&mut *follower).await;
    let mut member = Holder::start("joins_a_group", directory.path());
    let seq = Seq(member.expect("joined").parse().unwrap());
    assert_eq!(changes(&mut *follower).await.iter().map(entered).collect::<Vec<_>>(), [seq]);
    member.signal(Signal::KILL);
    assert_eq!(changes(&mut *follower).await, [Change::Left(seq)]);
}
