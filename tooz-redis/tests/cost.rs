//! How many requests the verbs cost, as the server counts them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Server, acquire, exclusive, lock};
use tooz_core::driver::{Nonce, Session, Standing};

/// Besides what is measured, each session sends itself a message now and then.
const CHECKS: u64 = 6;

/// How often the server has run a command.
async fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]).await.unwrap().into_string().unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn acquire_and_release_are_one_request_each() {
    let server = Server::start(&[]).await;
    let (session, roster) = (server.session("a").await, lock("x"));
    let ticket = acquire(&*session, &roster).await.unwrap();
    session.leave(&roster, &ticket).await.unwrap();
    let before = calls(&server, "evalsha").await;
    for _ in 0..100 {
        let ticket = acquire(&*session, &roster).await.unwrap();
        session.leave(&roster, &ticket).await.unwrap();
    }
    let spent = calls(&server, "evalsha").await - before;
    assert!((200..=200 + CHECKS).contains(&spent), "{spent} requests for 100 pairs");
}

#[tokio::test]
async fn one_request_renews_any_number_of_locks() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    for number in 0..500 {
        acquire(&*session, &lock(&number.to_string())).await.unwrap();
    }
    // The session's opening tries the command once.
    let before = calls(&server, "pexpire").await;
    session.renew().await.unwrap();
    assert_eq!(calls(&server, "pexpire").await - before, 1);
}

#[tokio::test]
async fn a_release_wakes_one_of_many_waiters() {
    let server = Server::start(&[]).await;
    let (holder, roster) = (server.session("holder").await, lock("x"));
    let waiter: Arc<dyn Session> = Arc::from(server.session("waiter").await);
    let held = acquire(&*holder, &roster).await.unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    for _ in 0..300 {
        let Standing::Waiting { ticket, .. } = waiter.enter(&roster, exclusive(Nonce::random())).await.unwrap() else {
            panic!("it must wait");
        };
        let (waiter, roster, woken) = (waiter.clone(), roster.clone(), woken.clone());
        tokio::spawn(async move {
            waiter.await_turn(&roster, &ticket).await.unwrap();
            woken.fetch_add(1, Ordering::SeqCst);
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = calls(&server, "evalsha").await;
    assert!(holder.leave(&roster, &held).await.unwrap());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let spent = calls(&server, "evalsha").await - before;
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    assert!((1..=1 + CHECKS).contains(&spent), "{spent} requests for one release");
}
