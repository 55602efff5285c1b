//! What the driver does while a server is there but does not serve: it loads its data, runs another client's script, or has lost
//! its primary. Each is an error that says so, in bounded time, and then a recovery.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use fred::prelude::{Client, LuaInterface};
use support::outage::{LONG, all_say, comes_to_say, says};
use support::{Server, TIMEOUT, acquire, exclusive, insist, lock, open, open_for, raw};
use tokio::time::{sleep, timeout};
use tooz_core::driver::{Nonce, Standing};

#[tokio::test]
async fn a_server_that_loads_its_data_says_so_and_keeps_the_sessions() {
    // Redis looks at requests while it loads, as a rule each 2 MB.
    let mut server = Server::start(&["--loading-process-events-interval-bytes", "1024"]).await;
    let url = server.url();
    let session = open_for(&url, "a", LONG * 2).await.unwrap();
    let (first, second) = (lock("first"), lock("second"));
    let held = acquire(&*session, &first).await.unwrap();
    let fill = "for i = 1, 5000 do redis.call('SET', KEYS[1] .. i, string.rep('x', 100)) end";
    server.ask(&["EVAL", fill, "1", "filler"]).await.unwrap();
    server.ask(&["SAVE"]).await.unwrap();
    server.kill();
    // A microsecond is the unit: loading takes some 5 s.
    server.restart_with(&["--key-load-delay", "1000"]).await;
    comes_to_say(&*session, "loading its data").await;
    all_say(&*session, &url, &["loading its data"]).await;

    insist(LONG, || session.renew()).await.unwrap();
    assert!(insist(LONG, || session.leave(&first, &held)).await.unwrap(), "the lock outlived the restart");
    insist(LONG, || acquire(&*session, &second)).await.unwrap();
    let other = insist(LONG, || open(&url, "b")).await.unwrap();
    assert!(acquire(&*other, &first).await.unwrap().seq > held.seq);
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_says_so_until_the_script_is_killed() {
    const BUSY: &str = "busy with a script";
    let server = Server::start(&["--lua-time-limit", "100"]).await;
    let url = server.url();
    let session = open_for(&url, "a", LONG * 2).await.unwrap();
    let waiter = open_for(&url, "b", LONG * 2).await.unwrap();
    let roster = lock("x");
    let held = acquire(&*session, &roster).await.unwrap();
    let Standing::Waiting { ticket, .. } = waiter.enter(&roster, exclusive(Nonce::random())).await.unwrap() else {
        panic!("it must wait");
    };
    let spinning = tokio::spawn(spin(server.plain().await));
    comes_to_say(&*session, BUSY).await;
    all_say(&*session, &url, &[BUSY]).await;
    // Longer than the driver takes to notice that no notifications arrive.
    sleep(TIMEOUT * 3).await;
    all_say(&*session, &url, &[BUSY]).await;

    assert_eq!(raw(server.port, "SCRIPT KILL").await, "+OK");
    let end = spinning.await.unwrap();
    assert!(end.contains("killed"), "{end}");
    insist(TIMEOUT, || session.renew()).await.unwrap();
    assert!(insist(TIMEOUT, || session.leave(&roster, &held)).await.unwrap());
    timeout(TIMEOUT * 2, insist(TIMEOUT, || waiter.await_turn(&roster, &ticket))).await.unwrap().unwrap();
    acquire(&*open(&url, "c").await.unwrap(), &lock("y")).await.unwrap();
}

/// How a script ends that never ends by itself.
async fn spin(client: Client) -> String {
    let nothing = Vec::<String>::new();
    let end: Result<(), _> = client.eval("while true do end", nothing.clone(), nothing).await;
    end.unwrap_err().to_string()
}

#[tokio::test]
async fn a_replica_without_its_primary_says_so_and_what_to_do() {
    let mut primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await;
    let port = primary.port.to_string();
    let replica = Server::start(&["--replica-serve-stale-data", "no", "--replicaof", "127.0.0.1", &port]).await;
    let url = replica.url();
    primary.kill();
    let attempt = async { open(&url, "a").await.map(drop) };
    says(attempt, &["a replica that has lost its primary; name the primary, or use Sentinel"]).await;

    assert_eq!(raw(replica.port, "REPLICAOF NO ONE").await, "+OK");
    let session = insist(LONG, || open(&url, "a")).await.unwrap();
    acquire(&*session, &lock("x")).await.unwrap();
}

#[tokio::test]
async fn a_session_outlives_that_its_server_was_a_replica_for_a_while() {
    const LOST: &str = "a replica that has lost its primary; name the primary, or use Sentinel";
    // What writes is refused because it is a replica, whatever became of the primary.
    const REPLICA: &str = "read-only replica; name the primary, or use Sentinel";
    let server = Server::start(&["--replica-serve-stale-data", "no"]).await;
    let (url, roster) = (server.url(), lock("x"));
    let session = open_for(&url, "a", LONG * 2).await.unwrap();
    let held = acquire(&*session, &roster).await.unwrap();
    assert_eq!(raw(server.port, "REPLICAOF 127.0.0.1 1").await, "+OK");
    comes_to_say(&*session, LOST).await;
    all_say(&*session, &url, &[LOST, REPLICA]).await;

    assert_eq!(raw(server.port, "REPLICAOF NO ONE").await, "+OK");
    insist(LONG, || session.renew()).await.unwrap();
    assert!(insist(LONG, || session.leave(&roster, &held)).await.unwrap());
}

#[tokio::test]
async fn a_renewal_on_a_replica_looks_for_the_primary() {
    let server = Server::start(&[]).await;
    let session = server.session("a").await;
    assert_eq!(raw(server.port, "REPLICAOF 127.0.0.1 1").await, "+OK");
    let before = connections(&server).await;
    says(session.renew(), &["read-only replica"]).await;
    sleep(Duration::from_millis(500)).await;
    // One is the question itself.
    assert!(connections(&server).await > before + 1, "it stays where it is");
}

/// How many were ever made to the server.
async fn connections(server: &Server) -> u64 {
    let stats = server.ask(&["INFO", "stats"]).await.unwrap().into_string().unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}
