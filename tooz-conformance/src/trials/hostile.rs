//! Input at the edge: entries that another program wrote, values that are too large, limits and numbers at their end.

use std::time::Duration;

use tooz_core::driver::{IfTaken, Kind, NewEntry, Offset};
use tooz_core::{Capabilities, Coordinator, ErrorKind, StartAt, Value};

use super::coordinators::{pair, steady};
use super::fixtures::{Client, PATIENCE, admitted, eventually, exclusive, fails, member, roster, soon};
use crate::history::unreadable_values;
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "hostile"
    NOTHING:
    a_limit_of_zero_is_one_attempt,
    the_greatest_durations_are_served_or_refused,
    an_unreadable_member_disturbs_no_other,
    an_unreadable_owner_disturbs_no_other,
    deeply_nested_capabilities_disturb_no_other,
    a_value_that_is_too_large_is_refused,
    a_partitioner_follows_a_group_that_was_deleted,
    an_offset_of_another_history_is_a_gap;
}

async fn a_limit_of_zero_is_one_attempt(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire_timeout(Duration::ZERO).await?;
    fails(b.lock("l").acquire_timeout(Duration::ZERO).await, ErrorKind::Timeout);
    ensure_eq!(a.lock("l").inspect().await?.waiters.len(), 0, "the attempt left a waiter");
    guard.release().await?;
    b.lock("l").acquire_timeout(Duration::ZERO).await?.release().await?;
    b.semaphore("s", 2).acquire_timeout(Duration::ZERO).await?.release().await?;
    b.election("e").campaign_timeout(Duration::ZERO).await?.resign().await?;
    Ok(())
}

async fn the_greatest_durations_are_served_or_refused(context: Context) -> Result<(), Failure> {
    for (ttl, timeout) in [(Duration::MAX, PATIENCE), (Duration::from_secs(30), Duration::MAX)] {
        match context.builder("a").ttl(ttl).timeout(timeout).connect().await {
            Ok(coordinator) => coordinator.close().await,
            Err(error) => ensure_eq!(error.kind(), ErrorKind::InvalidOption, "{error}"),
        }
    }
    let (a, b) = pair(&context).await?;
    let guard = a.lock("l").acquire_timeout(Duration::MAX).await?;
    let waiter = b.lock("l");
    let waiting = tokio::spawn(async move { waiter.acquire_timeout(Duration::MAX).await });
    let waits = async || Ok(a.lock("l").inspect().await?.waiters.len() == 1);
    eventually("the second waits", PATIENCE, waits).await?;
    guard.release().await?;
    soon("the turn of the second", waiting).await??.release().await?;
    Ok(())
}

/// Another program's entry in the group `g`.
async fn foreign_member(context: &Context, a: &Coordinator, value: &[u8]) -> Result<Client, Failure> {
    a.group("g").create_if_missing().await?;
    let foreign = Client::open(context, "foreign").await?;
    let entry = NewEntry { value, ..member(b"foreign", IfTaken::Refuse) };
    admitted(foreign.enter(&roster(Kind::Group, "g"), entry).await?);
    Ok(foreign)
}

/// The verbs of the others go on beside the foreign entry, which shows as unreadable and can be evicted.
async fn goes_on_beside_a_foreign_member(a: &Coordinator, b: &Coordinator) -> Result<(), Failure> {
    let membership = a.group("g").join(Capabilities::from_iter([("weight", 2)])).await?;
    let watch = b.group("g").watch().await?;
    ensure_eq!(watch.members().len(), 2);
    let foreign = b.group("g").member("foreign").await?;
    fails(foreign.capabilities(), ErrorKind::Corrupt);
    ensure_eq!(b.group("g").member("a").await?.capabilities()?.get("weight"), Some(&Value::Int(2)));
    let partitioner = b.group("g").partitioner().await?;
    ensure!(partitioner.belongs_to_member("key", "a"), "the readable member gets no key");
    b.group("g").evict("foreign").await?;
    ensure_eq!(b.group("g").members().await?.len(), 1);
    membership.leave().await?;
    Ok(())
}

async fn an_unreadable_member_disturbs_no_other(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let [_, no_text, ..] = unreadable_values();
    let _foreign = foreign_member(&context, &a, &no_text).await?;
    goes_on_beside_a_foreign_member(&a, &b).await
}

async fn deeply_nested_capabilities_disturb_no_other(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let [.., nested, _] = unreadable_values();
    let _foreign = foreign_member(&context, &a, &nested).await?;
    goes_on_beside_a_foreign_member(&a, &b).await
}

async fn an_unreadable_owner_disturbs_no_other(context: Context) -> Result<(), Failure> {
    let (a, foreign) = (steady(&context, "a").await?, Client::open(&context, "foreign").await?);
    let entry = NewEntry { value: b"\xff", ..exclusive() };
    let ticket = admitted(foreign.enter(&roster(Kind::Lock, "l"), entry).await?);
    let queue = a.lock("l").inspect().await?;
    ensure_eq!(queue.holders.iter().map(|holder| holder.is_readable).collect::<Vec<_>>(), [false]);
    ensure_eq!(queue.holders[0].token.0, ticket.seq.0);
    fails(a.lock("l").acquire_timeout(Duration::ZERO).await, ErrorKind::Timeout);
    ensure_eq!(a.lock("l").break_lock().await?.len(), 1);
    a.lock("l").acquire().await?.release().await?;
    Ok(())
}

async fn a_value_that_is_too_large_is_refused(context: Context) -> Result<(), Failure> {
    let large = || Capabilities::from_iter([("text", "x".repeat(100 * 1024))]);
    let a = steady(&context, "a").await?;
    a.group("g").create_if_missing().await?;
    fails(a.group("g").join(large()).await, ErrorKind::InvalidOption);
    let membership = a.group("g").join(()).await?;
    fails(membership.update(large()).await, ErrorKind::InvalidOption);
    let b = context.builder("b").ttl(Duration::from_secs(30)).max_value_size(256 * 1024).connect().await?;
    let wide = b.group("g").join(large()).await?;
    ensure!(a.group("g").member("b").await?.capabilities()? == large(), "the large value came back changed");
    wide.leave().await?;
    Ok(())
}

async fn a_partitioner_follows_a_group_that_was_deleted(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let group = a.group("g");
    group.create().await?;
    let membership = group.join(()).await?;
    let partitioner = b.group("g").partitioner().await?;
    ensure!(partitioner.belongs_to_member("key", "a"));
    membership.leave().await?;
    group.delete().await?;
    let is_away = async || Ok(partitioner.status().is_err());
    eventually("the partitioner reports that the group is gone", PATIENCE, is_away).await?;
    group.create().await?;
    let _membership = group.join(()).await?;
    let follows = async || Ok(partitioner.belongs_to_member("key", "a"));
    eventually("the partitioner follows the new group", PATIENCE, follows).await?;
    partitioner.status()?;
    Ok(())
}

async fn an_offset_of_another_history_is_a_gap(context: Context) -> Result<(), Failure> {
    if !context.info()?.topics {
        return Ok(());
    }
    let topic = steady(&context, "a").await?.topic("t");
    topic.publish(b"first").await?;
    for offset in [u64::MAX, u64::MAX - 1, i64::MAX as u64] {
        let mut subscription = topic.subscribe(StartAt::After(Offset(offset))).await?;
        fails(soon("the gap", subscription.next()).await, ErrorKind::Gap);
        ensure_eq!(soon("the first message", subscription.next()).await?.payload, b"first");
    }
    Ok(())
}
