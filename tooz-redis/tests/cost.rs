//! How many requests the verbs cost, as the server counts them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use support::{Server, acquire, exclusive, lock, open};
use tokio::runtime::Runtime;
use tooz_core::driver::{Nonce, Session, Standing, Update};
use tooz_core::{Builder, Capabilities, Coordinator, GroupEvent, Registry};

/// Besides what is measured, each session sends itself a message now and then.
const CHECKS: u64 = 6;

/// Of the coordinator that keeps many locks.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How often the server has run a command.
async fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]).await.unwrap().into_string().unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// How many commands it has run, of whatever sort, also those inside scripts.
async fn all_calls(server: &Server) -> u64 {
    let stats = server.ask(&["INFO", "stats"]).await.unwrap().into_string().unwrap();
    stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap().trim().parse().unwrap()
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

fn builder(server: &Server) -> Builder {
    Coordinator::builder(server.url()).registry(Registry::with([tooz_redis::DRIVER]))
}

#[tokio::test]
async fn ten_thousand_locks_cost_no_more_to_keep_than_one() {
    const LOCKS: u32 = 10_000;
    let server = Server::start(&[]).await;
    let coordinator = builder(&server).ttl(HEARTBEAT * 12).heartbeat(HEARTBEAT).connect().await.unwrap();
    let mut guards = vec![coordinator.lock("0").acquire().await.unwrap()];
    let of_one = upkeep(&server).await;
    for number in 1..LOCKS {
        guards.push(coordinator.lock(number.to_string()).acquire().await.unwrap());
    }
    let of_all = upkeep(&server).await;
    assert!(of_one.0 >= 4, "{of_one:?}: the heartbeat beats every {HEARTBEAT:?}");
    // The two spans may differ by a beat, a self-addressed message, and what the measuring itself sends.
    assert!(of_all.0.abs_diff(of_one.0) <= 2, "{of_all:?} renewals and commands, but {of_one:?} for one lock");
    assert!(of_all.1.abs_diff(of_one.1) <= 12, "{of_all:?} renewals and commands, but {of_one:?} for one lock");
    assert!(guards.iter().all(|guard| guard.is_held()));
}

/// The renewals and all commands that a server receives while no client asks for anything.
async fn upkeep(server: &Server) -> (u64, u64) {
    let before = (calls(server, "pexpire").await, all_calls(server).await);
    tokio::time::sleep(HEARTBEAT * 6).await;
    (calls(server, "pexpire").await - before.0, all_calls(server).await - before.1)
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

#[tokio::test]
async fn a_change_costs_no_watcher_a_request_and_a_new_watcher_disturbs_none() {
    const WATCHERS: usize = 20;
    let server = Server::start(&[]).await;
    let changing = builder(&server).connect().await.unwrap();
    changing.group("workers").create().await.unwrap();
    let mut coordinators = Vec::new();
    for _ in 0..WATCHERS {
        coordinators.push(builder(&server).connect().await.unwrap());
    }
    let (before, began) = (calls(&server, "evalsha").await, Instant::now());
    let mut watches = Vec::new();
    for coordinator in &coordinators {
        watches.push(coordinator.group("workers").watch().await.unwrap());
    }
    // Each session sends a message to itself every two seconds.
    let checks = |began: Instant| (WATCHERS + 1) * (1 + began.elapsed().as_secs() as usize / 2);
    let spent = calls(&server, "evalsha").await - before;
    // A new watcher subscribes, which takes one message or more, and reads once.
    assert!(spent as usize <= 3 * WATCHERS + checks(began), "{spent} requests of {WATCHERS} new watchers");
    let (before, began) = (calls(&server, "evalsha").await, Instant::now());
    for _ in 0..20 {
        let membership = changing.group("workers").join(()).await.unwrap();
        for watch in &mut watches {
            assert!(matches!(watch.next().await.unwrap(), GroupEvent::Joined(_)));
        }
        membership.leave().await.unwrap();
        for watch in &mut watches {
            assert!(matches!(watch.next().await.unwrap(), GroupEvent::Left(_)));
        }
    }
    let spent = calls(&server, "evalsha").await - before;
    assert!(spent as usize <= 40 + checks(began), "{spent} requests for 40 changes and {WATCHERS} watchers");
}

#[tokio::test]
async fn a_change_is_read_once_for_all_watchers_of_a_coordinator() {
    let server = Server::start(&[]).await;
    let (watching, changing) = (builder(&server).connect().await.unwrap(), builder(&server).connect().await.unwrap());
    let group = watching.group("workers");
    group.create_if_missing().await.unwrap();
    let mut watches = Vec::new();
    for _ in 0..50 {
        watches.push(group.watch().await.unwrap());
    }
    let seeing = join_all(watches.into_iter().map(|mut watch| tokio::spawn(async move { watch.next().await })));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = calls(&server, "evalsha").await;
    let membership = changing.group("workers").join(Capabilities::default()).await.unwrap();
    for event in seeing.await {
        assert!(matches!(event.unwrap().unwrap(), GroupEvent::Joined(_)));
    }
    let spent = calls(&server, "evalsha").await - before;
    assert!(spent <= 2 + CHECKS, "{spent} requests for a change and its watchers");
    drop(membership);
}

async fn enter_many(url: &str, count: usize) {
    let (session, roster) = (open(url, "a").await.unwrap(), lock("x"));
    for _ in 0..count {
        session.enter(&roster, exclusive(Nonce::random())).await.unwrap();
    }
}

#[tokio::test]
async fn a_burst_of_changes_makes_no_follower_read_again_or_keep_other_tasks_waiting() {
    const FOLLOWERS: usize = 50;
    const CHANGES: usize = 1000;
    let server = Server::start(&[]).await;
    let roster = lock("x");
    let sessions = join_all((0..FOLLOWERS).map(|_| server.session("b"))).await;
    let mut followers: Vec<_> = sessions.iter().map(|session| session.follow(&roster)).collect();
    for follower in &mut followers {
        assert!(matches!(follower.next().await.unwrap(), Update::Snapshot(_)));
    }
    let (before, began) = (calls(&server, "evalsha").await, Instant::now());
    // In another runtime, while this one stands still, as on a machine that is busy with something else.
    let url = server.url();
    let entering = std::thread::spawn(move || Runtime::new().unwrap().block_on(enter_many(&url, CHANGES)));
    entering.join().unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let other = tokio::spawn({
        let turns = turns.clone();
        async move {
            loop {
                turns.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }
    });
    for follower in &mut followers {
        let (mut seen, turns_before) = (0, turns.load(Ordering::SeqCst));
        while seen < CHANGES {
            match follower.next().await.unwrap() {
                Update::Changes(changes) => seen += changes.len(),
                _ => panic!("a follower has read the roster again"),
            }
        }
        let turns = turns.load(Ordering::SeqCst) - turns_before;
        assert!(turns >= CHANGES / 16, "another task had {turns} turns while a follower took {CHANGES} changes");
    }
    other.abort();
    let checks = 4 + 2 * began.elapsed().as_secs() as usize;
    let spent = calls(&server, "evalsha").await - before;
    assert!(spent as usize <= CHANGES + checks, "{spent} requests for {CHANGES} changes");
}
