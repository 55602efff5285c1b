//! A namespace that is spread over several shards: one session lives and ends in all of them, and the number is fixed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use support::{Server, TTL, acquire, insist, lock, open, open_for};
use tokio::time::{Instant, sleep};
use tooz_conformance::servers::{self, Deployment};
use tooz_core::ErrorKind;
use tooz_core::driver::Kind;

const SHARDS: &str = "shards=4";

/// The prefix of the key of a session or lock, which is its shard.
fn shard(key: &str) -> String {
    key.split('}').next().unwrap().to_owned()
}

#[tokio::test]
async fn another_number_of_shards_is_refused_with_both_numbers() {
    let server = Server::start(&[]).await;
    let _first = open(&format!("{}?{SHARDS}", server.url()), "a").await.unwrap();
    for (options, own) in [("", 1), ("?shards=5", 5)] {
        let error = open(&format!("{}{options}", server.url()), "b").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("\"shards\" is {own}")) && text.contains("shards=4"), "{text}");
    }
}

#[tokio::test]
async fn a_session_opens_where_it_is_needed_and_its_end_in_one_shard_ends_it_in_all() {
    let server = Server::start(&[]).await;
    let url = format!("{}?{SHARDS}", server.url());
    let session = open(&url, "a").await.unwrap();
    assert_eq!(server.keys("*:session:*").await.len(), 1);
    for number in 0..40 {
        acquire(&*session, &lock(&number.to_string())).await.unwrap();
    }
    let keys = server.keys("*:session:????????????????????????????????").await;
    assert_eq!(keys.iter().map(|key| shard(key)).collect::<HashSet<_>>().len(), 4, "{keys:?}");
    assert_eq!(session.rosters(Kind::Lock, None, 100).await.unwrap().len(), 40);
    let mut names = session.rosters(Kind::Lock, None, 7).await.unwrap();
    names.extend(session.rosters(Kind::Lock, names.last(), 100).await.unwrap());
    assert_eq!(names.len(), 40, "pages of all shards, in one order");
    assert!(names.is_sorted());

    session.renew().await.unwrap();
    let lost = keys.iter().find(|key| !key.starts_with("{test}")).unwrap();
    server.ask(&["DEL", lost]).await.unwrap();
    assert!(session.renew().await.unwrap_err().is_session_lost());
    session.close().await.unwrap();
    assert!(open(&url, "b").await.unwrap().rosters(Kind::Lock, None, 100).await.unwrap().len() <= 10);
}

#[tokio::test]
async fn a_session_that_is_over_opens_no_further_shard() {
    let server = Server::start(&[]).await;
    let session = open_for(&format!("{}?{SHARDS}", server.url()), "a", Duration::from_millis(500)).await.unwrap();
    sleep(Duration::from_millis(600)).await;
    for number in 0..40 {
        assert!(acquire(&*session, &lock(&number.to_string())).await.unwrap_err().is_session_lost());
    }
    assert_eq!(server.keys("*:lock:*").await.len(), 0);
}

/// Pairs on as many locks, and how many commands each of three masters has run for them.
#[tokio::test]
async fn the_masters_of_a_cluster_share_the_load() {
    let cluster = Deployment::start(&servers::redis::cluster()).await.unwrap();
    for (shards, least) in [(1, 0.0), (3, 0.2)] {
        let url = format!("redis-cluster://{}?shards={shards}", cluster.addresses().join(","));
        let driver = support::driver(&url);
        let options = tooz_core::driver::SessionOptions::new(format!("n{shards}"), support::name("a"), TTL * 10, TTL);
        let session = insist(TTL * 5, || driver.open(&options)).await.unwrap();
        let rosters: Vec<_> = (0..60).map(|number| lock(&number.to_string())).collect();
        for roster in &rosters {
            let ticket = acquire(&*session, roster).await.unwrap();
            session.leave(roster, &ticket).await.unwrap();
        }
        let before = scripts(&cluster).await;
        let began = Instant::now();
        for _ in 0..5 {
            join_all(rosters.iter().map(async |roster| {
                let ticket = acquire(&*session, roster).await.unwrap();
                session.leave(roster, &ticket).await.unwrap();
            }))
            .await;
        }
        let elapsed = began.elapsed();
        let spent: Vec<_> = scripts(&cluster).await.iter().zip(&before).map(|(after, before)| after - before).collect();
        let total: f64 = spent.iter().sum();
        println!("{shards} shards: {spent:?} scripts on the masters, 300 pairs in {elapsed:?}");
        let shares: Vec<_> = spent.iter().map(|scripts| scripts / total).collect();
        assert!(shares.iter().all(|share| *share >= least), "{shards} shards: {shares:?}");
        assert!(shares.iter().any(|share| *share > 0.9) == (shards == 1), "{shards} shards: {shares:?}");
    }
    cluster.remove().await.unwrap();
}

/// How many scripts each master has run.
async fn scripts(cluster: &Deployment) -> Vec<f64> {
    let mut counts = Vec::new();
    for name in ["node-1", "node-2", "node-3"] {
        let stats = support::info(cluster.node(name).unwrap().port(), "commandstats").await;
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        counts.push(calls.map_or(0.0, |line| line.split(',').next().unwrap().parse().unwrap()));
    }
    counts
}
