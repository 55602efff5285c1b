//! The sessions of a process share connections, and each keeps what is its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use support::{Server, TIMEOUT, acquire, exclusive, insist, lock, name, open};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use tooz_core::ErrorKind;
use tooz_core::driver::{Loss, Nonce, Session, Standing, Ticket};

const SOON: Duration = Duration::from_secs(10);
/// For requests, renewals and notifications.
const CONNECTIONS: usize = 3;

/// How many connections the server has, besides the one that asks.
async fn connections(server: &Server) -> usize {
    let clients = server.ask(&["CLIENT", "LIST"]).await.unwrap().into_string().unwrap();
    clients.lines().count() - 1
}

async fn wait_for_connections(server: &Server, number: usize) {
    let reached = async {
        while connections(server).await != number {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, reached).await.expect("the connections are made or closed");
}

async fn enter_behind(session: &dyn Session, text: &str) -> Ticket {
    match session.enter(&lock(text), exclusive(Nonce::random())).await.unwrap() {
        Standing::Waiting { ticket, .. } => ticket,
        other => panic!("it must wait, but is {other:?}"),
    }
}

#[tokio::test]
async fn a_hundred_sessions_have_the_connections_of_one_and_the_last_closes_them() {
    let server = Server::start(&[]).await;
    let mut sessions: Vec<_> = join_all((0..100).map(|_| server.session("a"))).await;
    assert_eq!(connections(&server).await, CONNECTIONS);
    let last = sessions.pop().unwrap();
    for session in sessions {
        session.close().await.unwrap();
    }
    assert_eq!(connections(&server).await, CONNECTIONS);
    acquire(&*last, &lock("x")).await.unwrap();
    drop(last);
    wait_for_connections(&server, 0).await;
}

#[tokio::test]
async fn sessions_with_other_credentials_or_options_share_nothing() {
    let server = Server::start(&[]).await;
    server.ask(&["ACL", "SETUSER", "other", "on", ">pw", "~*", "&*", "+@all"]).await.unwrap();
    let at = format!("127.0.0.1:{}", server.port);
    let mut sessions = Vec::new();
    for url in ["", "other:pw@"].map(|login| format!("redis://{login}{at}")) {
        for options in ["", "?db=1", "?socket_timeout=1"] {
            sessions.push(open(&format!("{url}{options}"), "a").await.unwrap());
            assert_eq!(connections(&server).await, sessions.len() * CONNECTIONS, "{url}{options}");
        }
    }
    let error = open(&format!("redis://other:wrong@{at}"), "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthFailed, "{error}");
}

#[test]
fn a_runtime_that_ends_takes_no_session_of_another_along() {
    let [first, second] = [(); 2].map(|()| Runtime::new().unwrap());
    let server = first.block_on(Server::start(&[]));
    let _ended = first.block_on(server.session("a"));
    let session = second.block_on(server.session("b"));
    assert_eq!(second.block_on(connections(&server)), 2 * CONNECTIONS);
    drop(first);
    second.block_on(async {
        session.renew().await.unwrap();
        acquire(&*session, &lock("x")).await.unwrap();
    });
}

#[tokio::test]
async fn a_session_that_closes_ends_its_own_waits_alone() {
    let server = Server::start(&[]).await;
    let [holder, closing, staying] = [server.session("a").await, server.session("b").await, server.session("c").await];
    let held = acquire(&*holder, &lock("x")).await.unwrap();
    let [leaving, next] = [enter_behind(&*closing, "x").await, enter_behind(&*staying, "x").await];
    let (roster, topic) = (lock("x"), name("t"));
    let waiting = async { tokio::join!(closing.await_turn(&roster, &leaving), staying.await_turn(&roster, &next)) };
    let reading = closing.topics().unwrap().read(&topic, tooz_core::Offset(0), 1);
    let ending = async {
        sleep(Duration::from_millis(100)).await;
        closing.close().await.unwrap();
        assert!(holder.leave(&roster, &held).await.unwrap());
    };
    let ((closed, admitted), read, ()) = timeout(SOON, async { tokio::join!(waiting, reading, ending) }).await.unwrap();
    assert!(closed.unwrap_err().is_session_lost() && read.unwrap_err().is_session_lost());
    admitted.unwrap();
}

#[tokio::test]
async fn an_eviction_reaches_the_session_that_it_concerns() {
    let server = Server::start(&[]).await;
    let [owner, other] = [server.session("a").await, server.session("b").await];
    let ticket = acquire(&*owner, &lock("x")).await.unwrap();
    acquire(&*other, &lock("y")).await.unwrap();
    assert!(other.evict(&lock("x"), ticket.seq).await.unwrap());
    let loss = timeout(SOON, owner.lost()).await.unwrap();
    assert!(matches!(loss, Loss::Entry(nonce) if nonce == ticket.nonce), "{loss:?}");
    assert!(timeout(Duration::from_millis(300), other.lost()).await.is_err(), "it has lost nothing");
}

#[tokio::test]
async fn a_reconnection_ends_the_lost_session_and_keeps_the_others() {
    let server = Server::start(&[]).await;
    let [lost, kept] = [server.session("a").await, server.session("b").await];
    let roster = lock("x");
    let ticket = acquire(&*lost, &roster).await.unwrap();
    let next = enter_behind(&*kept, "x").await;
    let opened = server.ask(&["HGET", "{test}:openings", "1"]).await.unwrap().into_string().unwrap();
    server.ask(&["DEL", &format!("{{test}}:session:{opened}")]).await.unwrap();
    server.ask(&["CLIENT", "KILL", "TYPE", "PUBSUB"]).await.unwrap();
    let loss = timeout(SOON, lost.lost()).await.expect("the loss is reported");
    assert!(matches!(&loss, Loss::Session(error) if error.is_session_lost()), "{loss:?}");
    assert!(lost.leave(&roster, &ticket).await.unwrap_err().is_session_lost());
    kept.renew().await.unwrap();
    server.ask(&["ZADD", "{test}:sessions", "1", &opened]).await.unwrap();
    timeout(SOON, insist(SOON, || kept.await_turn(&roster, &next))).await.unwrap().unwrap();
    assert!(timeout(Duration::from_millis(300), kept.lost()).await.is_err(), "it has lost nothing");
}

#[tokio::test]
async fn a_session_that_opens_in_an_outage_says_why_and_the_others_go_on_after_it() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let sessions = [server.session("a").await, server.session("b").await];
    let (url, roster) = (server.url(), lock("x"));
    let ticket = acquire(&*sessions[0], &roster).await.unwrap();
    server.kill();
    sleep(TIMEOUT / 4).await;
    let error = open(&url, "late").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("127.0.0.1"), "{error}");
    server.restart().await;
    for session in &sessions {
        insist(SOON, || session.renew()).await.unwrap();
    }
    assert!(insist(SOON, || sessions[0].leave(&roster, &ticket)).await.unwrap());
    let late = insist(SOON, || open(&url, "late")).await.unwrap();
    acquire(&*late, &roster).await.unwrap();
}
