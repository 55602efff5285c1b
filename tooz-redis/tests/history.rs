//! Servers whose history is not the one that the driver knew: emptied, restored from an older copy, or changed by hand.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use support::outage::LONG;
use support::{Server, TTL, acquire, driver, exclusive, insist, lock, name, open_with};
use tokio::time::timeout;
use tooz_core::driver::{Loss, Nonce};
use tooz_core::{ErrorKind, Result};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_emptied_server_has_another_history_also_when_others_have_written_since() {
    let server = Server::start(&[]).await;
    let driver = driver(&server.url());
    let (first, second) = (open_with(&driver, TTL).await, open_with(&driver, TTL).await);
    acquire(&*first, &lock("x")).await.unwrap();
    assert_eq!(first.history(), second.history());
    server.ask(&["FLUSHALL"]).await.unwrap();
    acquire(&*server.session("other").await, &lock("x")).await.unwrap();
    assert!(first.renew().await.unwrap_err().is_session_lost());
    assert_ne!(open_with(&driver, TTL).await.history(), first.history());
}

#[tokio::test]
async fn clients_of_an_emptied_server_meet_one_other_history() {
    let server = Server::start(&[]).await;
    let drivers = [driver(&server.url()), driver(&server.url())];
    for (driver, name) in drivers.iter().zip(["x", "y"]) {
        acquire(&*open_with(driver, TTL).await, &lock(name)).await.unwrap();
    }
    server.ask(&["FLUSHALL"]).await.unwrap();
    let mut histories = Vec::new();
    for driver in drivers.iter().chain(&drivers) {
        histories.push(open_with(driver, TTL).await.history());
    }
    assert_eq!(histories, [1; 4], "each driver has met one other history");
}

#[tokio::test]
async fn a_restart_with_the_data_goes_on_with_the_history() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let driver = driver(&server.url());
    let first = open_with(&driver, LONG).await;
    acquire(&*first, &lock("x")).await.unwrap();
    server.kill();
    server.restart().await;
    let second = open_with(&driver, LONG).await;
    assert_eq!(first.history(), second.history());
    insist(SOON, || first.renew()).await.unwrap();
}

#[tokio::test]
async fn a_server_restored_from_an_older_copy_ends_the_session() {
    let mut server = Server::start(&[]).await;
    let driver = driver(&server.url());
    let (session, other) = (open_with(&driver, LONG).await, open_with(&driver, LONG).await);
    acquire(&*session, &lock("x")).await.unwrap();
    server.ask(&["SAVE"]).await.unwrap();
    acquire(&*session, &lock("y")).await.unwrap();
    server.kill();
    server.restart().await;
    for session in [&session, &other] {
        let loss = timeout(SOON, session.lost()).await.expect("the loss is reported");
        assert!(matches!(&loss, Loss::Session(error) if error.is_session_lost()), "{loss:?}");
    }
    assert_ne!(open_with(&driver, TTL).await.history(), session.history());
}

#[tokio::test]
async fn a_session_opened_since_the_copy_shows_the_other_history_although_others_wrote_first() {
    let mut server = Server::start(&[]).await;
    let driver = driver(&server.url());
    acquire(&*server.session("before").await, &lock("x")).await.unwrap();
    server.ask(&["SAVE"]).await.unwrap();
    let first = open_with(&driver, TTL).await;
    assert_eq!(first.history(), open_with(&driver, TTL).await.history());
    server.kill();
    server.restart().await;
    acquire(&*server.session("other").await, &lock("y")).await.unwrap();
    let next = open_with(&driver, TTL).await;
    assert_ne!(next.history(), first.history());
}

#[tokio::test]
async fn a_live_session_finds_out_that_the_server_has_lost_an_entry() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    let (kept, gone) = (lock("kept"), lock("gone"));
    acquire(&*session, &kept).await.unwrap();
    let ticket = acquire(&*session, &gone).await.unwrap();
    server.ask(&["DEL", "{test}:lock:gone"]).await.unwrap();
    server.ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]).await.unwrap();
    let loss = timeout(SOON, session.lost()).await.expect("the loss is reported");
    assert!(matches!(loss, Loss::Entry(nonce) if nonce == ticket.nonce), "{loss:?}");
    assert!(timeout(Duration::from_millis(300), session.lost()).await.is_err(), "one loss only");
}

#[tokio::test]
async fn a_live_session_removes_an_entry_that_the_server_has_brought_back() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    let roster = lock("x");
    let ticket = acquire(&*session, &roster).await.unwrap();
    let sessions = server.keys("{test}:session:*:entries").await;
    for (from, to) in [("{test}:lock:x", "{test}:copy"), (sessions[0].as_str(), "{test}:entries")] {
        server.ask(&["COPY", from, to]).await.unwrap();
    }
    assert!(session.leave(&roster, &ticket).await.unwrap());
    for (from, to) in [("{test}:copy", "{test}:lock:x"), ("{test}:entries", sessions[0].as_str())] {
        server.ask(&["COPY", from, to]).await.unwrap();
    }
    let other = server.session("b").await;
    server.ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]).await.unwrap();
    let renewing = async {
        loop {
            let _ = (session.renew().await, other.renew().await);
            tokio::time::sleep(TTL / 4).await;
        }
    };
    tokio::select! {
        acquired = timeout(SOON, acquire(&*other, &roster)) => drop(acquired.unwrap().unwrap()),
        () = renewing => {}
    }
}

#[tokio::test]
async fn the_end_of_the_sequence_grants_no_number_twice() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    server.ask(&["SET", "{test}:seq", "9007199254740990"]).await.unwrap();
    assert_eq!(acquire(&*session, &lock("last")).await.unwrap().seq.0, 9_007_199_254_740_991);
    for name in ["x", "y"] {
        refuses(session.enter(&lock(name), exclusive(Nonce::random())).await);
        assert!(session.snapshot(&lock(name), None).await.unwrap().entries.is_empty());
    }
    let topics = session.topics().unwrap();
    refuses(topics.publish(&name("t"), b"", 9).await);
}

fn refuses<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("cannot rise further"), "{error}");
}
