//! What the trials of the user face stand on: coordinators that outlive a stalled machine.

use std::time::Duration;

use tooz_core::{Coordinator, Queue};

use crate::{Failure, Reach};

/// A coordinator whose session no stall of the machine ends, and which learns of evictions quickly on every backend.
pub(crate) async fn steady(reach: &Reach, member: &str) -> Result<Coordinator, Failure> {
    let builder = reach.builder(member).ttl(Duration::from_secs(30)).heartbeat(Duration::from_millis(500));
    Ok(builder.connect().await?)
}

/// Two of them, `a` and `b`.
pub(crate) async fn pair(reach: &Reach) -> Result<(Coordinator, Coordinator), Failure> {
    futures_util::future::try_join(steady(reach, "a"), steady(reach, "b")).await
}

/// The member ids of the holders and of the waiters, as text.
pub(crate) fn ids(line: &Queue) -> (Vec<String>, Vec<String>) {
    let ids = |participants: &[tooz_core::Participant]| participants.iter().map(|one| one.member.to_string()).collect();
    (ids(&line.holders), ids(&line.waiters))
}
