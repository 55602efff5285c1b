//! What the driver does when the server fails or refuses: a clear error or a recovery, in bounded time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use support::{Server, TIMEOUT, TTL, acquire, exclusive, insist, lock, open};
use tokio::time::timeout;
use tooz_core::ErrorKind;
use tooz_core::driver::{Loss, Nonce, Session, Standing};

const SOON: Duration = Duration::from_secs(5);

async fn fails(url: &str, kind: ErrorKind, text: &str) {
    let began = Instant::now();
    let error = open(url, "a").await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
    assert!(began.elapsed() < TIMEOUT * 2, "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_hand_over_wakes_the_successor() {
    let server = Server::start(&[]).await;
    let (a, b) = (server.session("a").await, server.session("b").await);
    let roster = lock("x");
    let first = acquire(&*a, &roster).await.unwrap();
    let waiting = tokio::spawn({
        let roster = roster.clone();
        async move { acquire(&*b, &roster).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    assert!(a.leave(&roster, &first).await.unwrap());
    let second = waiting.await.unwrap().unwrap();
    assert!(second.seq > first.seq);
    assert!(began.elapsed() < Duration::from_millis(100), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_port_without_a_server_is_an_error_at_once() {
    let server = Server::start(&[]).await;
    let url = server.url();
    drop(server);
    fails(&url, ErrorKind::Unavailable, "127.0.0.1").await;
}

#[tokio::test]
async fn a_frozen_server_is_an_error_in_time() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    server.freeze();
    fails(&server.url(), ErrorKind::Unavailable, "did not answer").await;
    let began = Instant::now();
    let error = session.renew().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(began.elapsed() < TIMEOUT * 2);
    server.thaw();
    insist(SOON, || session.renew()).await.unwrap();
}

#[tokio::test]
async fn a_waiter_survives_a_frozen_server() {
    let server = Server::start(&[]).await;
    let (a, b) = (server.session("a").await, server.session("b").await);
    let roster = lock("x");
    let held = acquire(&*a, &roster).await.unwrap();
    let Standing::Waiting { ticket, .. } = b.enter(&roster, exclusive(Nonce::random())).await.unwrap() else {
        panic!("it must wait");
    };
    server.freeze();
    tokio::time::sleep(TIMEOUT).await;
    server.thaw();
    insist(SOON, || a.leave(&roster, &held)).await.unwrap();
    timeout(SOON, insist(SOON, || b.await_turn(&roster, &ticket))).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_server_ends_the_session_and_the_token_still_rises() {
    let mut server = Server::start(&[]).await;
    let session = server.session("a").await;
    let roster = lock("x");
    let before = acquire(&*session, &roster).await.unwrap();
    server.kill();
    let error = session.renew().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.restart().await;
    let loss = timeout(SOON, session.lost()).await.expect("the loss is reported");
    assert!(matches!(loss, Loss::Session(error) if error.is_session_lost()));
    let error = insist(SOON, || session.enter(&roster, exclusive(Nonce::random()))).await.unwrap_err();
    assert!(error.is_session_lost(), "{error}");
    let after = acquire(&*server.session("b").await, &roster).await.unwrap();
    assert!(after.seq > before.seq);
}

#[tokio::test]
async fn a_server_that_kept_its_data_keeps_the_session() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let (a, b) = (server.session("a").await, server.session("b").await);
    let roster = lock("x");
    let held = acquire(&*a, &roster).await.unwrap();
    let Standing::Waiting { ticket, .. } = b.enter(&roster, exclusive(Nonce::random())).await.unwrap() else {
        panic!("it must wait");
    };
    let waiting = async { insist(SOON, || b.await_turn(&roster, &ticket)).await };
    let outage = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.kill();
        server.restart().await;
        insist(SOON, || a.renew()).await.unwrap();
        insist(SOON, || b.renew()).await.unwrap();
        assert!(insist(SOON, || a.leave(&roster, &held)).await.unwrap());
    };
    let (turn, ()) = timeout(TTL * 2, async { tokio::join!(waiting, outage) }).await.unwrap();
    turn.unwrap();
}

#[tokio::test]
async fn flushall_ends_the_session_and_the_token_still_rises() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    let roster = lock("x");
    let before = acquire(&*session, &roster).await.unwrap();
    server.ask(&["FLUSHALL"]).await.unwrap();
    assert!(session.leave(&roster, &before).await.unwrap_err().is_session_lost());
    assert!(session.renew().await.unwrap_err().is_session_lost());
    let after = acquire(&*server.session("b").await, &roster).await.unwrap();
    assert!(after.seq > before.seq);
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    server.ask(&["SCRIPT", "FLUSH"]).await.unwrap();
    acquire(&*session, &lock("x")).await.unwrap();
}

#[tokio::test]
async fn a_full_server_grants_nothing_but_lets_go() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let session = server.session("a").await;
    let (held, other) = (lock("held"), lock("other"));
    let ticket = acquire(&*session, &held).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let error = acquire(&*session, &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("out of memory"), "{error}");
    session.renew().await.unwrap();
    assert!(session.leave(&held, &ticket).await.unwrap());
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    assert!(session.snapshot(&other, None).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn a_server_without_connections_left_says_so() {
    let server = Server::start(&["--maxclients", "6"]).await;
    let _first = server.session("a").await;
    let second = open(&format!("{}?db=1", server.url()), "b").await.unwrap();
    fails(&format!("{}?db=2", server.url()), ErrorKind::Unavailable, "maxclients").await;
    drop(second);
}

#[tokio::test]
async fn a_replica_says_that_it_is_one() {
    let primary = Server::start(&[]).await;
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]).await;
    fails(&replica.url(), ErrorKind::Unavailable, "read-only replica").await;
}

#[tokio::test]
async fn wrong_credentials_are_an_error() {
    let server = Server::start(&["--requirepass", "right"]).await;
    let at = format!("127.0.0.1:{}", server.port);
    fails(&format!("redis://:wrong@{at}"), ErrorKind::AuthFailed, "password").await;
    fails(&format!("redis://other:right@{at}"), ErrorKind::AuthFailed, "password").await;
    fails(&format!("redis://{at}"), ErrorKind::AuthFailed, "password").await;
    open(&format!("redis://:right@{at}"), "a").await.unwrap();
}

#[tokio::test]
async fn missing_permissions_are_an_error_when_a_session_opens() {
    let server = Server::start(&[]).await;
    let at = format!("127.0.0.1:{}", server.port);
    for (user, rules) in [
        ("zadd", ["~*", "&*", "+@all", "-zadd"]),
        ("publish", ["~*", "&*", "+@all", "-publish"]),
        ("subscribe", ["~*", "&*", "+@all", "-subscribe"]),
        ("keys", ["~{other}:*", "&*", "+@all", "+ping"]),
        ("channels", ["~*", "&{other}:*", "+@all", "+ping"]),
        ("evalsha", ["~*", "&*", "+@all", "-evalsha"]),
    ] {
        let mut words = vec!["ACL", "SETUSER", user, "on", ">pw", "resetchannels"];
        words.extend(rules);
        server.ask(&words).await.unwrap();
        let error = open(&format!("redis://{user}:pw@{at}"), "a").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::AuthFailed | ErrorKind::Unavailable), "{user}: {error}");
        if user != "subscribe" {
            assert_eq!(error.kind(), ErrorKind::AuthFailed, "{user}: {error}");
        }
    }
    server
        .ask(&[
            "ACL",
            "SETUSER",
            "enough",
            "on",
            ">pw",
            "resetchannels",
            "~{test}:*",
            "&{test}:*",
            "+@all",
            "-@dangerous",
            "+info",
            "+role",
        ])
        .await
        .unwrap();
    let session = open(&format!("redis://enough:pw@{at}"), "a").await.unwrap();
    acquire(&*session, &lock("x")).await.unwrap();
}

#[tokio::test]
async fn renamed_commands_are_an_error() {
    let server = Server::start(&["--rename-command", "ZADD", ""]).await;
    fails(&server.url(), ErrorKind::Unsupported, "renamed").await;
    let server = Server::start(&["--rename-command", "EVALSHA", ""]).await;
    fails(&server.url(), ErrorKind::Unsupported, "renamed").await;
}

#[tokio::test]
async fn a_cluster_url_needs_a_cluster() {
    let server = Server::start(&[]).await;
    let url = server.url().replace("redis:", "redis-cluster:");
    fails(&url, ErrorKind::InvalidUrl, "not a cluster").await;
}

#[tokio::test]
async fn without_replicas_nothing_is_granted_if_they_are_asked_for() {
    let server = Server::start(&["--repl-diskless-sync-delay", "0"]).await;
    let session = open(&format!("{}?replicas=1", server.url()), "a").await.unwrap();
    let error = acquire(&*session, &lock("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    let port = server.port.to_string();
    let _replica = Server::start(&["--replicaof", "127.0.0.1", &port]).await;
    insist(SOON * 2, || acquire_other(&*session)).await.unwrap();
}

async fn acquire_other(session: &dyn Session) -> tooz_core::Result<()> {
    session.renew().await?;
    acquire(session, &lock("other")).await.map(drop)
}

#[tokio::test]
async fn an_eviction_is_reported_also_when_the_message_was_missed() {
    let server = Server::start(&[]).await;
    let (owner, other) = (server.session("a").await, server.session("b").await);
    let (first, second) = (lock("first"), lock("second"));
    let heard = acquire(&*owner, &first).await.unwrap();
    let missed = acquire(&*owner, &second).await.unwrap();
    assert!(other.evict(&first, heard.seq).await.unwrap());
    let loss = timeout(SOON, owner.lost()).await.unwrap();
    assert!(matches!(loss, Loss::Entry(nonce) if nonce == heard.nonce));
    // The owner's connections are cut, and the eviction happens before they are made anew.
    server.ask(&["CLIENT", "PAUSE", "300", "WRITE"]).await.unwrap();
    let (_, evicted) = tokio::join!(
        server.ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]),
        insist(SOON, || other.evict(&second, missed.seq))
    );
    assert!(evicted.unwrap());
    let loss = timeout(SOON, owner.lost()).await.unwrap();
    assert!(matches!(loss, Loss::Entry(nonce) if nonce == missed.nonce));
    assert!(timeout(Duration::from_millis(300), owner.lost()).await.is_err(), "it was reported twice");
}
