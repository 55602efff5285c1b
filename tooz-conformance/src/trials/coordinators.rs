//! Coordinators for trials, whose sessions outlive a slow machine.

use std::time::Duration;

use tooz_core::{Coordinator, Participant, Queue};

use crate::{Failure, Target};

/// A coordinator with a TTL that no slow machine exceeds. Its heartbeats are frequent, so it soon learns of evictions
/// on every backend.
pub(crate) async fn steady(target: &Target, member: &str) -> Result<Coordinator, Failure> {
    let builder = target.builder(member).ttl(Duration::from_secs(30)).heartbeat(Duration::from_millis(500));
    Ok(builder.connect().await?)
}

/// Two steady coordinators, `a` and `b`.
pub(crate) async fn pair(target: &Target) -> Result<(Coordinator, Coordinator), Failure> {
    futures_util::future::try_join(steady(target, "a"), steady(target, "b")).await
}

/// The member ids of the holders and of the waiters.
pub(crate) fn ids(queue: &Queue) -> (Vec<String>, Vec<String>) {
    let ids = |participants: &[Participant]| participants.iter().map(|one| one.member.to_string()).collect();
    (ids(&queue.holders), ids(&queue.waiters))
}
