//! Several processes on one directory: a crash frees locks at once, a release wakes other processes, and a frozen process
//! keeps its locks.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use rusqlite::Connection;
use rustix::process::Signal;
use tooz_core::driver::{IfBlocked, IfTaken, Key, Loss, Mode, NewEntry, Offset, Standing, Ticket};
use tooz_core::{ErrorKind, Name};

#[tokio::test]
#[ignore = "a child process of the tests below"]
async fn holds_a_lock() {
    let session = open(&directory()).await;
    let ticket = session.enter(&lock("l"), exclusive()).await.unwrap();
    if let Standing::Waiting { ticket, .. } = ticket {
        println!("waiting");
        session.await_turn(&lock("l"), &ticket).await.unwrap();
    }
    println!("holding");
    read_line();
}

#[tokio::test]
#[ignore = "a child process of the tests below"]
async fn joins_a_group() {
    let session = open(&directory()).await;
    let key = Key::Unique(b"me", IfTaken::Refuse);
    session.enter(&group("g"), NewEntry { key, ..entry(Mode::Member) }).await.unwrap();
    println!("joined");
    match session.lost().await {
        Loss::Entry(nonce) => println!("evicted {nonce}"),
        Loss::Session(error) => println!("lost {error}"),
        other => panic!("this was not expected: {other:?}"),
    }
    read_line();
}

/// Acquires and releases the lock in turn with others, and prints when.
#[tokio::test]
#[ignore = "a child process of the tests below"]
async fn hands_over() {
    let session = open(&directory()).await;
    println!("ready");
    read_line();
    for _ in 0..200 {
        let standing = session.enter(&lock("l"), exclusive()).await.unwrap();
        let ticket = match standing {
            Standing::Admitted(ticket) => ticket,
            Standing::Waiting { ticket, .. } => {
                session.await_turn(&lock("l"), &ticket).await.unwrap();
                ticket
            }
            other => panic!("this was not expected: {other:?}"),
        };
        let got = now();
        // Long enough for the other process to enter the queue.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let gave = now();
        session.leave(&lock("l"), &ticket).await.unwrap();
        println!("held {got} {gave} {}", ticket.seq);
    }
    println!("done");
    read_line();
}

/// Nanoseconds of the clock that all processes of the host share.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[tokio::test]
async fn a_killed_holder_frees_its_lock_within_100_ms() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let mut holder = Holder::start("holds_a_lock", directory.path());
        holder.expect("holding");
        let ticket = waiting(session.enter(&lock("l"), exclusive()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let killed = Instant::now();
        holder.signal(Signal::KILL);
        session.await_turn(&lock("l"), &ticket).await.unwrap();
        slowest = slowest.max(killed.elapsed());
        assert!(session.leave(&lock("l"), &ticket).await.unwrap());
    }
    println!("slowest of 10: {slowest:?}");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
}

#[tokio::test]
async fn a_frozen_third_process_does_not_hide_a_death() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = Holder::start("holds_a_lock", directory.path());
    holder.expect("holding");
    let session = open(directory.path()).await;
    let ticket = waiting(session.enter(&lock("l"), exclusive()).await.unwrap());
    let mut third = Holder::start("holds_a_lock", directory.path());
    third.expect("waiting");
    tokio::time::sleep(Duration::from_millis(50)).await;
    third.signal(Signal::STOP);
    let killed = Instant::now();
    holder.signal(Signal::KILL);
    session.await_turn(&lock("l"), &ticket).await.unwrap();
    assert!(killed.elapsed() < Duration::from_millis(100), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn a_lock_of_a_dead_process_is_free_for_later_clients() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    for _ in 0..5 {
        let mut holder = Holder::start("holds_a_lock", directory.path());
        holder.expect("holding");
        drop(holder);
        let entry = NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() };
        let ticket = admitted(session.enter(&lock("l"), entry).await.unwrap());
        assert!(session.leave(&lock("l"), &ticket).await.unwrap());
    }
    let mut holder = Holder::start("holds_a_lock", directory.path());
    holder.expect("holding");
    session.close().await.unwrap();
    drop((session, holder));
    let session = open(directory.path()).await;
    admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
}

#[tokio::test]
async fn a_frozen_holder_keeps_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = Holder::start("holds_a_lock", directory.path());
    holder.expect("holding");
    let session = open(directory.path()).await;
    let ticket = waiting(session.enter(&lock("l"), exclusive()).await.unwrap());
    holder.signal(Signal::STOP);
    let roster = lock("l");
    let turn = session.await_turn(&roster, &ticket);
    assert!(tokio::time::timeout(Duration::from_millis(2500), turn).await.is_err());
    holder.signal(Signal::KILL);
    session.await_turn(&lock("l"), &ticket).await.unwrap();
}

#[tokio::test]
async fn a_waiter_in_another_process_is_granted_within_2_ms() {
    let directory = tempfile::tempdir().unwrap();
    let mut children: Vec<_> = (0..2).map(|_| Holder::start("hands_over", directory.path())).collect();
    children.iter_mut().for_each(|child| {
        child.expect("ready");
    });
    children.iter_mut().for_each(|child| child.tell("go"));
    let mut holds: Vec<(u64, u64, u64)> = Vec::new();
    for child in &mut children {
        for _ in 0..200 {
            let line = child.expect("held");
            let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            holds.push((numbers[0], numbers[1], numbers[2]));
        }
        child.expect("done");
    }
    holds.sort_unstable();
    assert!(holds.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two held the lock at once");
    assert!(holds.windows(2).all(|pair| pair[0].2 < pair[1].2), "the fencing token did not rise");
    let mut gaps: Vec<u64> = holds.windows(2).map(|pair| (pair[1].0 - pair[0].1) / 1000).collect();
    gaps.sort_unstable();
    println!("hand-over µs: median {}, p99 {}, max {}", gaps[200], gaps[394], gaps[398]);
    assert!(gaps[200] < 2000, "the median is {} µs", gaps[200]);
}

#[tokio::test]
async fn a_watch_sees_the_death_of_a_member_and_a_replaced_member_is_notified() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let mut member = Holder::start("joins_a_group", directory.path());
    member.expect("joined");
    let one = session.snapshot(&group("g"), None).await.unwrap();
    assert_eq!(one.entries.len(), 1);
    let refused = NewEntry { key: Key::Unique(b"me", IfTaken::Refuse), ..entry(Mode::Member) };
    let error = session.enter(&group("g"), refused).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemberAlreadyExists);
    let killed = Instant::now();
    member.signal(Signal::KILL);
    let none = session.snapshot(&group("g"), Some(one.version)).await.unwrap();
    assert_eq!(none.entries, []);
    assert!(killed.elapsed() < Duration::from_millis(100), "{:?}", killed.elapsed());

    let mut member = Holder::start("joins_a_group", directory.path());
    member.expect("joined");
    let nonce = session.snapshot(&group("g"), None).await.unwrap().entries[0].nonce;
    let taking = NewEntry { key: Key::Unique(b"me", IfTaken::TakeOver), ..entry(Mode::Member) };
    session.enter(&group("g"), taking).await.unwrap();
    assert_eq!(member.expect("evicted"), nonce.to_string());
    assert_eq!(session.snapshot(&group("g"), None).await.unwrap().entries.len(), 1);
}

#[tokio::test]
#[ignore = "a child process of the tests below"]
async fn publishes() {
    let session = open(&directory()).await;
    println!("ready");
    while read_line().is_some() {
        let payload = now().to_string();
        session.topics().unwrap().publish(&Name::new("t").unwrap(), payload.as_bytes(), 10).await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_in_another_process_is_woken() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let topic = Name::new("t").unwrap();
    let mut publisher = Holder::start("publishes", directory.path());
    publisher.expect("ready");
    let mut took = Vec::new();
    for after in 0..50 {
        let read = session.topics().unwrap().read(&topic, Offset(after), 1);
        let (messages, ()) = tokio::join!(read, async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            publisher.tell("go");
        });
        let sent: u64 = String::from_utf8(messages.unwrap()[0].payload.clone()).unwrap().parse().unwrap();
        took.push((now() - sent) / 1000);
    }
    took.sort_unstable();
    println!("publish to read µs: median {}, max {}", took[25], took[49]);
    // Most of this is the write to disk before the notification. Without a wake-up it would be half a second.
    assert!(took[25] < 100_000, "the median is {} µs", took[25]);
}

#[tokio::test]
async fn a_process_that_others_take_for_dead_enters_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let held = admitted(session.enter(&lock("held"), exclusive()).await.unwrap());
    let db = Connection::open(directory.path().join("tooz.db")).unwrap();
    // What a process does that considers this one dead.
    db.execute_batch("BEGIN; DELETE FROM entries; DELETE FROM peers; COMMIT").unwrap();
    let entry = NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() };
    assert!(session.enter(&lock("free"), entry).await.unwrap_err().is_session_lost());
    assert!(session.leave(&lock("held"), &held).await.unwrap_err().is_session_lost());
    let left: i64 = db.query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn an_uncontended_lock_writes_two_pages_to_acquire_and_one_to_release() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let log = || std::fs::metadata(directory.path().join("tooz.db-wal")).unwrap().len();
    let mut written = Vec::new();
    // Repeated, because the first time adds the row of the roster, and once a second the worker removes unused rows.
    for _ in 0..5 {
        let before = log();
        let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
        let taken = log();
        assert!(session.leave(&lock("l"), &ticket).await.unwrap());
        written.push((taken - before, log() - taken));
    }
    let page = 24 + 1024;
    // To acquire: the pages of the sequence and of the entry. To release: that of the entry.
    assert_eq!(written.iter().min(), Some(&(2 * page, page)), "{written:?}");
}

#[tokio::test]
async fn a_single_entry_leaves_with_its_own_ticket_only() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    assert!(!session.leave(&lock("other"), &ticket).await.unwrap());
    assert!(session.leave(&lock("l"), &ticket).await.unwrap());
    let removed = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    // Another program writes, and does not notify the session.
    let db = Connection::open(directory.path().join("tooz.db")).unwrap();
    db.execute_batch("DELETE FROM entries").unwrap();
    let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    assert!(!session.leave(&lock("l"), &Ticket { nonce: removed.nonce, ..ticket }).await.unwrap());
    assert!(session.leave(&lock("l"), &ticket).await.unwrap());
}

#[tokio::test]
async fn a_watcher_of_a_lock_is_notified_at_once_when_its_only_holder_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let (session, watcher, lock) = (open(directory.path()).await, open(directory.path()).await, lock("l"));
    let mut took = Vec::new();
    for _ in 0..5 {
        let ticket = admitted(session.enter(&lock, exclusive()).await.unwrap());
        let held = watcher.snapshot(&lock, None).await.unwrap().version;
        let leaving = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(session.leave(&lock, &ticket).await.unwrap());
            Instant::now()
        };
        let watching = tokio::time::timeout(Duration::from_secs(3), watcher.snapshot(&lock, Some(held)));
        let (left, seen) = tokio::join!(leaving, watching);
        assert!(seen.unwrap().unwrap().entries.is_empty());
        took.push(left.elapsed());
    }
    took.sort_unstable();
    // Without a wake-up it would be up to a second.
    assert!(took[2] < Duration::from_millis(200), "{took:?}");
}

#[tokio::test]
async fn the_row_of_a_released_lock_is_removed_soon() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await;
    let ticket = admitted(session.enter(&lock("l"), exclusive()).await.unwrap());
    assert!(session.leave(&lock("l"), &ticket).await.unwrap());
    let db = Connection::open(directory.path().join("tooz.db")).unwrap();
    let rows = || db.query_row("SELECT count(*) FROM objects", [], |row| row.get::<_, i64>(0)).unwrap();
    let released = Instant::now();
    while rows() > 0 {
        assert!(released.elapsed() < Duration::from_secs(5), "the row is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
