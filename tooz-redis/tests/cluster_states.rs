//! What the driver does while a cluster is down, or does not serve the slot of the namespace.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::outage::{LONG, all_say, comes_to_say, says};
use support::{Server, TIMEOUT, acquire, insist, lock, open, open_for, raw};
use tokio::time::{sleep, timeout};
use tooz_conformance::servers::{self, Deployment};

/// Of the namespace of these tests. Of three masters that share the slots, the second has it.
const SLOT: u16 = 6918;
const DOWN: &str = "the cluster is down";
const UNREACHABLE: &str = "failed to reach the server";
const NO_NODE: &str = "no node of the cluster serves the slot";

#[test]
fn the_slot_is_that_of_the_namespace() {
    assert_eq!(fred::util::redis_keyslot(b"{test}:lock:x"), SLOT);
}

/// A cluster of one node without slots.
async fn node(settings: &[&str]) -> (Server, String) {
    let mut all = vec!["--cluster-enabled", "yes", "--cluster-port", "FREE", "--cluster-announce-ip", "127.0.0.1"];
    all.extend(settings);
    let server = Server::start(&all).await;
    let url = server.url().replace("redis:", "redis-cluster:");
    (server, url)
}

#[tokio::test]
async fn a_cluster_that_was_never_formed_says_so() {
    let (server, url) = node(&[]).await;
    says(async { open(&url, "a").await.map(drop) }, &[DOWN, NO_NODE]).await;
    assert_eq!(raw(server.port, "CLUSTER ADDSLOTSRANGE 0 16383").await, "+OK");
    let session = insist(LONG, || open(&url, "a")).await.unwrap();
    acquire(&*session, &lock("x")).await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_lacks_a_slot_says_that_it_is_down() {
    lacks(0, &[]).await;
}

#[tokio::test]
async fn a_cluster_that_lacks_the_slot_of_the_namespace_says_so() {
    lacks(SLOT, &["--cluster-require-full-coverage", "no"]).await;
}

async fn lacks(slot: u16, settings: &[&str]) {
    let (server, url) = node(settings).await;
    assert_eq!(raw(server.port, "CLUSTER ADDSLOTSRANGE 0 16383").await, "+OK");
    let session = insist(LONG, || open_for(&url, "a", LONG * 2)).await.unwrap();
    let roster = lock("x");
    let held = acquire(&*session, &roster).await.unwrap();
    assert_eq!(raw(server.port, &format!("CLUSTER DELSLOTS {slot}")).await, "+OK");
    comes_to_say(&*session, DOWN).await;
    all_say(&*session, &url, &[DOWN, NO_NODE]).await;

    assert_eq!(raw(server.port, &format!("CLUSTER ADDSLOTS {slot}")).await, "+OK");
    insist(LONG, || session.renew()).await.unwrap();
    assert!(insist(LONG, || session.leave(&roster, &held)).await.unwrap());
    acquire(&*insist(LONG, || open(&url, "b")).await.unwrap(), &roster).await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_lost_another_master_says_so() {
    loses("node-3").await;
}

#[tokio::test]
async fn a_cluster_that_lost_the_master_of_the_namespace_says_so() {
    loses("node-2").await;
}

/// Masters without replicas, which keep their data. Whether the client meets first that one cannot be reached or that the
/// others are down depends on the order of their ports.
async fn loses(name: &str) {
    let spec = servers::redis::cluster().args(["--appendonly", "yes", "--appendfsync", "always"]);
    let cluster = Deployment::start(&spec).await.unwrap();
    let url = format!("redis-cluster://{}", cluster.addresses().join(","));
    let session = open_for(&url, "a", LONG * 2).await.unwrap();
    let roster = lock("x");
    let held = acquire(&*session, &roster).await.unwrap();
    let node = cluster.node(name).unwrap();
    node.kill().await.unwrap();
    let survivor = cluster.node("node-1").unwrap().port();
    timeout(LONG, async {
        while !raw(survivor, "GET {test}").await.starts_with("-CLUSTERDOWN") {
            sleep(TIMEOUT / 10).await;
        }
    })
    .await
    .unwrap();
    all_say(&*session, &url, &[DOWN, UNREACHABLE]).await;

    node.start().await.unwrap();
    insist(LONG, || session.renew()).await.unwrap();
    assert!(insist(LONG, || session.leave(&roster, &held)).await.unwrap());
    let other = insist(LONG, || open(&url, "b")).await.unwrap();
    insist(LONG, || acquire(&*other, &roster)).await.unwrap();
    cluster.remove().await.unwrap();
}
