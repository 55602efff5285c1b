//! All members of a group restart at once: their sessions end, and as many members join in new sessions. Each watcher holds
//! a lock, which shows whether its session has survived.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tooz_core::Guard;

use crate::scale::meter::{Values, per};
use crate::scale::population::{
    NAME, Pattern, RenewedSession, close, coordinator, coordinators_with_ttl, receive, session, watch,
};
use crate::scale::setting::Setting;
use crate::{Context, Failure};

/// The TTL of the watchers' sessions: the default of coordinators.
const TTL: Duration = Duration::from_secs(10);

/// How many sessions the members share.
const SESSIONS: u64 = 10;

pub(in crate::scale) async fn measure(setting: Setting) -> Result<Values, Failure> {
    let meter = setting.meter().await?;
    let clients = coordinators_with_ttl(&meter.context, "watcher", setting.watchers, TTL).await?;
    let locks = clients.iter().map(|client| client.lock(format!("held by {}", client.member())));
    let guards = try_join_all(locks.map(|lock| async move { lock.acquire().await })).await?;
    let creating = coordinator(&setting.context, "creates").await?;
    let first = session(&setting.context, "first").await?;
    let pattern = Pattern::of_member(&creating.group(NAME), &*first).await?;
    let before = start_members(&setting.context, &pattern, setting.size, 0).await?;
    let mut watches = watch(&clients, setting.size).await?;
    let mut after = Vec::new();
    let cost = meter.cost(async {
        for ended in join_all(before.iter().map(|session| session.close())).await {
            ended?;
        }
        // The new members have other ids, so that no watcher can mistake a new member for an old one.
        after = start_members(&setting.context, &pattern, setting.size, setting.size).await?;
        for watch in &mut watches {
            receive(watch, setting.size, setting.size).await?;
        }
        Ok(())
    });
    let mut values = per(cost.await?, (2 * setting.size * setting.watchers) as f64);
    values.push(("sessions lost", guards.iter().filter(|guard| !Guard::is_held(guard)).count() as f64));
    drop((watches, guards));
    join_all(after.iter().map(|session| session.close())).await;
    close(clients).await;
    creating.close().await;
    Ok(values)
}

/// Enters `count` members, whose ids begin at `from`, in several sessions at once.
async fn start_members(
    context: &Context,
    pattern: &Pattern,
    count: u64,
    from: u64,
) -> Result<Vec<RenewedSession>, Failure> {
    let share = count.div_ceil(SESSIONS);
    let starting = (0..SESSIONS).map(|index| async move {
        let client = session(context, &format!("members-{index}")).await?;
        let ids = (index * share).min(count)..((index + 1) * share).min(count);
        pattern.enter(&*client, ids.start + from..ids.end + from).await?;
        Ok(client)
    });
    try_join_all(starting).await
}
