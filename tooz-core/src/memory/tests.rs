//! What the conformance suite cannot see: fairness towards other tasks, partitions, and rosters that are forgotten.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::{DRIVER, Server};
use crate::Name;
use crate::driver::{
    IfBlocked, Key, Kind, Loss, Mode, NewEntry, Nonce, Roster, Session, SessionOptions, Standing, Ticket, Version,
};

const TTL: Duration = Duration::from_secs(10);

async fn open(server: &str, member: &str) -> Box<dyn Session> {
    let options = SessionOptions::new("tooz", Name::new(member).unwrap(), TTL, TTL);
    let driver = (DRIVER.open)(&format!("memory://{server}").parse().unwrap()).unwrap();
    driver.open(&options).await.unwrap()
}

fn lock() -> Roster {
    Roster { kind: Kind::Lock, name: Name::new("l").unwrap() }
}

async fn hold(session: &dyn Session) -> Ticket {
    let entry = NewEntry {
        nonce: Nonce::random(),
        key: Key::Nonce,
        mode: Mode::Exclusive,
        limit: NonZeroU32::MIN,
        if_blocked: IfBlocked::Withdraw,
        needs_declared: false,
        value: b"",
    };
    match session.enter(&lock(), entry).await.unwrap() {
        Standing::Admitted(ticket) => ticket,
        other => panic!("the lock is free, but the entry is {other:?}"),
    }
}

#[tokio::test]
async fn a_loop_of_requests_does_not_starve_other_tasks() {
    let session = open("starvation", "a").await;
    let requests = tokio::spawn(async move {
        let topic = Name::new("t").unwrap();
        for _ in 0..10_000 {
            session.topics().unwrap().publish(&topic, b"", 1).await.unwrap();
            let ticket = hold(&*session).await;
            session.snapshot(&lock(), None).await.unwrap();
            session.leave(&lock(), &ticket).await.unwrap();
            session.renew().await.unwrap();
        }
    });
    yield_now().await;
    assert!(!requests.is_finished(), "no other task ran before the last request");
    requests.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_eviction_during_a_partition_is_reported_after_it() {
    let (server, a, b) = (Server::named("evicted"), open("evicted", "a").await, open("evicted", "b").await);
    let ticket = hold(&*a).await;
    let mut report = Box::pin(a.lost());
    assert!(futures_util::poll!(&mut report).is_pending());
    server.partition("a").unwrap();
    assert!(b.evict(&lock(), ticket.seq).await.unwrap());
    assert!(timeout(TTL / 3, report).await.is_err(), "the report crossed a partition");
    server.heal();
    assert!(matches!(a.lost().await, Loss::Entry(nonce) if nonce == ticket.nonce));
}

#[tokio::test]
async fn the_greatest_ttl_and_timeout_panicked() {
    let options = SessionOptions::new("tooz", Name::new("a").unwrap(), Duration::MAX, Duration::MAX);
    let driver = (DRIVER.open)(&"memory://extreme".parse().unwrap()).unwrap();
    let session = driver.open(&options).await.unwrap();
    session.renew().await.unwrap();
    session.leave(&lock(), &hold(&*session).await).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_roster_that_was_forgotten_continues_its_sequence() {
    let session = open("forgotten", "a").await;
    let first = hold(&*session).await;
    let version = session.snapshot(&lock(), None).await.unwrap().version;
    assert!(session.leave(&lock(), &first).await.unwrap());
    assert_eq!(session.snapshot(&lock(), None).await.unwrap().version, Version::default());
    assert!(hold(&*session).await.seq > first.seq);
    assert_ne!(session.snapshot(&lock(), None).await.unwrap().version, version);
}

#[tokio::test(start_paused = true)]
async fn the_expiry_of_a_session_wakes_waiting_callers_without_any_request() {
    let (a, b, roster) = (open("expiry", "a").await, open("expiry", "b").await, lock());
    hold(&*a).await;
    sleep(TTL / 2).await;
    b.renew().await.unwrap();
    let version = b.snapshot(&lock(), None).await.unwrap().version;
    let (loss, snapshot) = tokio::join!(a.lost(), b.snapshot(&roster, Some(version)));
    assert!(matches!(loss, Loss::Session(_)) && snapshot.unwrap().entries.is_empty());
}
