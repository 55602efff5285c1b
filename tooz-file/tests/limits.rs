//! Extremes: the greatest numbers, long timeouts, much to clean up, rows that cannot be read, a runtime that has ended.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::*;
use rusqlite::{Connection, params};
use tooz_core::driver::{IfBlocked, Kind, Mode, NewEntry, Offset, Roster, Seq, Session, Standing};
use tooz_core::{ErrorKind, Name};

/// How many entries the dead process below has.
const DEAD: i64 = 2000;

fn database(directory: &std::path::Path) -> Connection {
    let db = Connection::open(directory.join("tooz.db")).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db
}

/// Writes a process that does not exist, with entries in the queue of lock "l".
fn write_dead_process(db: &Connection) {
    db.execute_batch(
        "BEGIN IMMEDIATE;
         INSERT INTO peers VALUES (7);
         INSERT INTO objects (id, namespace, kind, name) VALUES (7, 'test', 'lock', x'6c');",
    )
    .unwrap();
    for seq in 1..=DEAD {
        let nonce = (seq as u128).to_be_bytes();
        let mut insert = db.prepare_cached("INSERT INTO entries VALUES (7, 'x', ?1, 7, ?2, NULL, 1, ?3, x'')").unwrap();
        insert.execute(params![seq, nonce, seq == 1]).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entries_of_a_dead_process_are_removed_in_small_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let db = database(directory.path());
    write_dead_process(&db);
    let count = move || db.query_row("SELECT count(*) FROM entries WHERE peer = 7", [], |row| row.get(0)).unwrap();
    let counting = std::thread::spawn(move || {
        let mut seen: Vec<i64> = vec![count()];
        while seen.last() != Some(&0) {
            let left = count();
            if seen.last() != Some(&left) {
                seen.push(left);
            }
        }
        seen
    });
    admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    let seen = counting.join().unwrap();
    assert!(seen.iter().all(|left| left % 100 == 0), "{seen:?}");
    assert!(seen.len() > 2, "all entries went in one transaction: {seen:?}");
}

#[tokio::test]
async fn a_session_with_many_entries_ends_in_small_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let (session, other) = (open(directory.path()).await, open(directory.path()).await);
    for index in 0..250 {
        admitted(session.enter(&lock(&index.to_string()), exclusive()).await.unwrap());
    }
    session.close().await.unwrap();
    assert_eq!(session.renew().await.unwrap_err().kind(), ErrorKind::SessionLost);
    for index in 0..250 {
        let entry = NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() };
        admitted(other.enter(&lock(&index.to_string()), entry).await.unwrap());
    }
}

#[tokio::test]
async fn the_longest_timeout_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let session = try_open(directory.path(), Duration::MAX).await.unwrap();
    let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    assert!(session.leave(&lock("l"), &ticket).await.unwrap());
    session.close().await.unwrap();
}

#[tokio::test]
async fn the_greatest_numbers_match_nothing_and_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    let topic = Name::new("t").unwrap();
    session.topics().unwrap().publish(&topic, b"one", u64::MAX).await.unwrap();
    for number in [u64::MAX, u64::MAX - 1, i64::MAX as u64, i64::MAX as u64 + 1] {
        assert!(!session.evict(&lock("l"), Seq(number)).await.unwrap());
        let read = session.topics().unwrap().read(&topic, Offset(number), usize::MAX);
        assert!(tokio::time::timeout(Duration::from_millis(100), read).await.is_err());
    }
    assert!(session.leave(&lock("l"), &ticket).await.unwrap());
}

#[tokio::test]
async fn the_last_token_and_the_last_offset_are_not_given_twice() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let topic = Name::new("t").unwrap();
    session.topics().unwrap().publish(&topic, b"one", 10).await.unwrap();
    let last = "UPDATE sequence SET last = 9223372036854775806;
                UPDATE objects SET newest = 9223372036854775806";
    database(directory.path()).execute_batch(last).unwrap();
    assert_eq!(session.topics().unwrap().publish(&topic, b"last", 10).await.unwrap(), Offset(i64::MAX as u64));
    let error = session.topics().unwrap().publish(&topic, b"beyond", 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    assert_eq!(ticket.seq, Seq(i64::MAX as u64));
    assert!(session.leave(&lock("l"), &ticket).await.unwrap());
    let error = session.enter(&lock("l"), exclusive()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(session.snapshot(&lock("l"), None).await.unwrap().entries.is_empty(), "a failed entry was left behind");
}

#[tokio::test]
async fn an_unreadable_entry_hides_no_other_and_can_be_evicted() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    for roster in [group("g"), lock("l")] {
        let mode = if roster.kind == Kind::Group { Mode::Member } else { Mode::Exclusive };
        let first = admitted(session.enter(&roster, entry(mode)).await.unwrap());
        let damage = "UPDATE entries SET nonce = x'00', permits = 'many' WHERE seq = ?1";
        database(directory.path()).execute(damage, [first.seq.0 as i64]).unwrap();
        let standing = session.enter(&roster, entry(mode)).await.unwrap();
        let second = match standing {
            Standing::Admitted(ticket) | Standing::Waiting { ticket, .. } => ticket,
            other => panic!("this was not expected: {other:?}"),
        };
        let seqs = |roster: Roster| {
            let session = &session;
            async move {
                let snapshot = session.snapshot(&roster, None).await.unwrap();
                snapshot.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()
            }
        };
        assert_eq!(seqs(roster.clone()).await, [second.seq]);
        assert!(session.evict(&roster, first.seq).await.unwrap());
        session.await_turn(&roster, &second).await.unwrap();
        assert!(session.leave(&roster, &second).await.unwrap());
    }
}

#[test]
fn a_lock_is_released_when_the_runtime_of_its_session_ends() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let session: Box<dyn Session> = first.block_on(open(directory.path()));
    let held = first.block_on(async { admitted(session.enter(&lock("l"), exclusive()).await.unwrap()) });
    drop(first);
    let second = runtime();
    let other = second.block_on(open(directory.path()));
    second.block_on(async { admitted(other.enter(&lock("l"), exclusive()).await.unwrap()) });
    let error = second.block_on(session.leave(&lock("l"), &held)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_closes_while_another_opens_does_not_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let timeout = Duration::from_secs(60);
    let rounds = async {
        let mut last = try_open(directory.path(), timeout).await.unwrap();
        for _ in 0..200 {
            let (closed, next) = tokio::join!(last.close(), try_open(directory.path(), timeout));
            closed.unwrap();
            last = next.unwrap();
            last.renew().await.unwrap();
        }
    };
    tokio::time::timeout(timeout / 2, rounds).await.expect("a close has waited for its timeout");
}
