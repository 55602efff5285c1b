//! What others leave under the prefix of the namespace, and what the URL says that does not fit the server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use support::{Server, TTL, acquire, driver, exclusive, lock, name, open, open_for};
use tokio::time::timeout;
use tooz_core::driver::{Kind, Nonce};
use tooz_core::{Error, ErrorKind};

/// The error names the key.
fn names(error: &Error, key: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(key), "{error}");
}

#[tokio::test]
async fn a_foreign_key_is_named() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    for key in ["{test}:lock:x", "{test}:topic:t", "{test}:topic:u:trimmed", "{test}:declared:group"] {
        server.ask(&["HSET", key, "field", "value"]).await.unwrap();
    }
    names(&acquire(&*session, &lock("x")).await.unwrap_err(), "{test}:lock:x");
    names(&session.snapshot(&lock("x"), None).await.unwrap_err(), "{test}:lock:x");
    names(&session.declared(Kind::Group).await.unwrap_err(), "{test}:declared:group");
    let topics = session.topics().unwrap();
    names(&topics.publish(&name("t"), b"", 9).await.unwrap_err(), "{test}:topic:t");
    names(&topics.publish(&name("u"), b"", 9).await.unwrap_err(), "{test}:topic:u:trimmed");
    assert_eq!(server.ask(&["EXISTS", "{test}:topic:u"]).await.unwrap().as_u64(), Some(0), "nothing was published");
}

#[tokio::test]
async fn a_key_of_all_sessions_that_is_foreign_is_named_when_a_session_opens() {
    for key in ["{test}:sessions", "{test}:history", "{test}:shards"] {
        let server = Server::start(&[]).await;
        server.ask(&["HSET", key, "field", "value"]).await.unwrap();
        names(&open(&server.url(), "a").await.unwrap_err(), key);
    }
}

#[tokio::test]
async fn an_enter_that_meets_a_side_key_of_a_wrong_type_leaves_nothing() {
    let server = Server::start(&[]).await;
    let (a, b) = (server.session("a").await, server.session("b").await);
    let roster = lock("x");
    let held = acquire(&*a, &roster).await.unwrap();
    for key in ["{test}:lock:x:waiting", "{test}:lock:x:limits", "{test}:lock:x:shared"] {
        server.ask(&["SET", key, "something else"]).await.unwrap();
        names(&b.enter(&roster, exclusive(Nonce::random())).await.unwrap_err(), key);
        server.ask(&["DEL", key]).await.unwrap();
        let entries = a.snapshot(&roster, None).await.unwrap().entries;
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [held.seq], "{key}");
        assert_eq!(server.keys("{test}:session:*:entries").await.len(), 1, "{key}");
    }
}

#[tokio::test]
async fn a_bad_key_of_a_dead_session_stops_no_new_one() {
    let server = Server::start(&[]).await;
    let dead = open_for(&server.url(), "dead", Duration::from_millis(300)).await.unwrap();
    acquire(&*dead, &lock("bad")).await.unwrap();
    acquire(&*dead, &lock("good")).await.unwrap();
    server.ask(&["SET", "{test}:lock:bad", "something else"]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let session = server.session("a").await;
    timeout(TTL, acquire(&*session, &lock("good"))).await.unwrap().unwrap();
    assert_eq!(server.keys("{test}:session:*:entries").await.len(), 1, "the dead session is removed");
}

#[tokio::test]
async fn a_password_may_contain_anything() {
    let server = Server::start(&[]).await;
    let at = format!("127.0.0.1:{}", server.port);
    for (user, password, encoded) in [
        ("space", "a b", "a%20b"),
        ("quotes", "\"a b\"'", "%22a%20b%22%27"),
        ("tab", "\ta\\x41\r\n", "%09a%5Cx41%0D%0A"),
        ("marks", "a/b#c?d@é", "a%2Fb%23c%3Fd%40%C3%A9"),
    ] {
        server.ask(&["ACL", "SETUSER", user, "on", &format!(">{password}"), "~*", "&*", "+@all"]).await.unwrap();
        open(&format!("redis://{user}:{encoded}@{at}"), "a").await.unwrap();
    }
    // Without its quotes this is the password of another user, or the wrong one.
    server.ask(&["ACL", "SETUSER", "plain", "on", ">a b", "~*", "&*", "+@all"]).await.unwrap();
    let error = open(&format!("redis://plain:%22a%20b%22@{at}"), "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthFailed, "{error}");
}

#[tokio::test]
async fn a_ttl_of_a_hundred_years_is_kept() {
    let server = Server::start(&[]).await;
    let (least, greatest) = driver(&server.url()).info().ttl_range;
    assert_eq!(least, Duration::from_millis(1));
    let session = open_for(&server.url(), "a", greatest).await.unwrap();
    session.renew().await.unwrap();
    let key = server.keys("{test}:session:*").await.swap_remove(0);
    let left = server.ask(&["PTTL", &key]).await.unwrap().as_i64().unwrap();
    assert!(Duration::from_millis(left.unsigned_abs()) > greatest - TTL, "{left}");
    acquire(&*session, &lock("x")).await.unwrap();
}

#[tokio::test]
async fn a_renewal_does_not_share_a_connection_with_data() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    session.snapshot(&lock("x"), None).await.unwrap();
    session.renew().await.unwrap();
    let clients = server.ask(&["CLIENT", "LIST"]).await.unwrap().into_string().unwrap();
    let count = |sign: &str| clients.lines().filter(|line| line.contains(sign)).count();
    assert_eq!((count("cmd=pexpire"), count("cmd=eval"), count(" sub=1")), (1, 1, 1), "{clients}");
}
