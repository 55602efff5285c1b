//! The checks, in the order in which they are printed. Each leaves nothing behind.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tooz::{Characteristic, Coordinator, ErrorKind, Result, ServiceUrl};

use super::check::Check;
use super::server;

/// How many round trips are timed.
const ROUND_TRIPS: usize = 20;
/// A round trip that takes longer than this is worth a look.
const SLOW: Duration = Duration::from_millis(50);

/// The purpose of the objects with which permissions are checked.
const PERMISSION: &str = "permission";

/// Makes all checks.
pub(super) async fn examine(coordinator: &Coordinator, url: &ServiceUrl, took: Duration) -> Vec<Check> {
    let mut checks = vec![Check::ok("connect", format!("{} in {took:.1?}", coordinator.driver_name()))];
    checks.push(round_trips(coordinator).await);
    checks.push(session(coordinator).await);
    checks.extend(permissions(coordinator).await);
    checks.extend(server::examine(url).await);
    checks.extend(guarantees(coordinator.characteristics()));
    checks
}

async fn round_trips(coordinator: &Coordinator) -> Check {
    let lock = coordinator.lock(unique("round-trip", coordinator));
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let sent = Instant::now();
        if let Err(error) = lock.inspect().await {
            return Check::fail("round trips", error);
        }
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let (median, greatest) = (times[ROUND_TRIPS / 2], times[ROUND_TRIPS - 1]);
    let result = format!("median {median:.1?}, greatest {greatest:.1?} of {ROUND_TRIPS}");
    match median > SLOW {
        true => Check::warn("round trips", result, "the backend is far or busy; each lock costs two round trips"),
        false => Check::ok("round trips", result),
    }
}

async fn session(coordinator: &Coordinator) -> Check {
    let health = coordinator.health().await;
    let life = match health.remaining {
        Some(remaining) => format!("lives for {remaining:.1?} without a renewal"),
        None => "ends with the process, without a timeout".to_owned(),
    };
    let server = health.server.map(|server| format!("{server}; ")).unwrap_or_default();
    match health.round_trip {
        Ok(took) => Check::ok("session", format!("{server}renewed in {took:.1?}; {life}")),
        Err(error) => Check::fail("session", error),
    }
}

async fn permissions(coordinator: &Coordinator) -> Vec<Check> {
    let name = unique(PERMISSION, coordinator);
    let lock = async { coordinator.lock(&name).acquire_timeout(Duration::from_secs(5)).await?.release().await };
    let election = async { coordinator.election(&name).campaign_timeout(Duration::from_secs(5)).await?.resign().await };
    let group = async {
        let group = coordinator.group(&name);
        group.create().await?;
        group.join(()).await?.leave().await?;
        group.delete().await
    };
    vec![
        permission("locks", "acquired and released one", lock.await),
        permission("elections", "won and resigned one", election.await),
        permission("groups", "created, joined, left and deleted one", group.await),
        match coordinator.topics().next().await {
            Some(Err(error)) if error.kind() == ErrorKind::Unsupported => Check::ok("topics", "this backend has none"),
            Some(Err(error)) => Check::fail("topics", error),
            _ => Check::ok("topics", "listed them; nothing was published"),
        },
    ]
}

/// Deletes the group of the examination, if a failure or a signal has left it.
pub(super) async fn delete_group(coordinator: &Coordinator) {
    let group = coordinator.group(unique(PERMISSION, coordinator));
    // A membership that a signal has ended leaves in the background.
    while group.delete().await.is_err_and(|error| error.kind() == ErrorKind::GroupNotEmpty) {
        sleep(Duration::from_millis(20)).await;
    }
}

fn permission(subject: &str, result: &str, outcome: Result<()>) -> Check {
    outcome.map_or_else(|error| Check::fail(subject, error), |()| Check::ok(subject, result))
}

fn guarantees(characteristics: &[Characteristic]) -> Vec<Check> {
    let has = |characteristic| characteristics.contains(&characteristic);
    let hosts = match has(Characteristic::DistributedAcrossHosts) {
        true => "programs on different hosts exclude each other",
        false => "only programs on one host exclude each other",
    };
    let crash = match has(Characteristic::NonTimeoutBased) {
        true => "a crashed program frees its locks at once",
        false => "a crashed program frees its locks when its TTL has passed",
    };
    let partition = match has(Characteristic::SameViewUnderPartitions) {
        true => "all clients see the same state, also while servers fail",
        false => "a failover may grant a lock twice; use the fencing token",
    };
    [("hosts", hosts), ("crashes", crash), ("failover", partition)]
        .map(|(subject, result)| Check::ok(format!("guarantee: {subject}"), result))
        .into()
}

/// A name that no other program uses.
fn unique(purpose: &str, coordinator: &Coordinator) -> String {
    format!("tooz-doctor-{purpose}-{}", coordinator.member())
}
