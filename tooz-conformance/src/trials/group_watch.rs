//! Watching a group: each change once and in order, and a partitioner that follows the group.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use rand::Rng;
use tooz_core::{Capabilities, Coordinator, ErrorKind, GroupEvent, GroupWatch, Incarnation, Membership};

use super::coordinators::{pair, steady};
use super::fixtures::{PATIENCE, ends, eventually, fails, not_now, poll_then_drop, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "group"
    NOTHING:
    watch_begins_with_the_present_members,
    a_second_watch_begins_with_the_present_members,
    a_watch_that_lags_sees_the_present_members,
    watch_reports_each_change_once_and_in_order,
    watch_reports_nothing_without_a_change,
    watch_goes_on_after_it_was_dropped,
    watch_sees_a_take_over_as_another_incarnation,
    watch_ends_with_the_group,
    watchers_agree_after_many_changes,
    partitioner_follows_the_group,
    partitioner_gives_each_key_to_one_member,
    partitioner_respects_weights;
}

#[derive(Debug, PartialEq)]
enum Seen {
    Joined(String),
    Left(String),
    Updated(String, i64),
}

async fn next(watch: &mut GroupWatch) -> Result<Seen, Failure> {
    let event = soon("the next event", watch.next()).await?;
    Ok(match event {
        GroupEvent::Joined(member) => Seen::Joined(member.id().to_string()),
        GroupEvent::Left(member) => Seen::Left(member.id().to_string()),
        GroupEvent::Updated(member) => Seen::Updated(member.id().to_string(), member.capabilities_as()?),
        GroupEvent::Resync => {
            return Err(Failure::new(
                "expected: no Resync while the session is uninterrupted\nactual: the watch returned Resync",
            ));
        }
        other => return Err(Failure::new(format!("an unexpected event: {other:?}"))),
    })
}

async fn join(coordinator: &Coordinator, value: i64) -> Result<Membership, Failure> {
    let group = coordinator.group("g");
    group.create_if_missing().await?;
    Ok(group.join(value).await?)
}

async fn watch_begins_with_the_present_members(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let (_first, _second) = (join(&b, 0).await?, join(&a, 0).await?);
    let mut watch = a.group("g").watch().await?;
    ensure_eq!(watch.members().len(), 2);
    ensure_eq!(next(&mut watch).await?, Seen::Joined("b".into()));
    ensure_eq!(next(&mut watch).await?, Seen::Joined("a".into()));
    Ok(())
}

async fn a_second_watch_begins_with_the_present_members(context: Context) -> Result<(), Failure> {
    let (a, _) = pair(&context).await?;
    a.group("g").create().await?;
    let _other = a.group("g").watch().await?;
    for value in 0..10 {
        let membership = join(&a, value).await?;
        ensure_eq!(soon("a watch", a.group("g").watch()).await?.members().len(), 1);
        membership.leave().await?;
        ensure_eq!(soon("a watch", a.group("g").watch()).await?.members().len(), 0);
    }
    Ok(())
}

async fn a_watch_that_lags_sees_the_present_members(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    a.group("g").create().await?;
    let (mut first, mut second) = (a.group("g").watch().await?, a.group("g").watch().await?);
    let membership = join(&a, 0).await?;
    ensure_eq!(next(&mut first).await?, Seen::Joined("a".into()));
    membership.leave().await?;
    ensure_eq!(next(&mut first).await?, Seen::Left("a".into()));
    let _membership = join(&b, 0).await?;
    ensure_eq!(next(&mut first).await?, Seen::Joined("b".into()));
    ensure_eq!(
        next(&mut second).await?,
        Seen::Joined("b".into()),
        "the watch reports a member that joined and left before"
    );
    Ok(())
}

async fn watch_reports_each_change_once_and_in_order(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let first = join(&a, 0).await?;
    let mut watch = b.group("g").watch().await?;
    ensure_eq!(next(&mut watch).await?, Seen::Joined("a".into()));
    let second = join(&b, 0).await?;
    ensure_eq!(next(&mut watch).await?, Seen::Joined("b".into()));
    first.update(7).await?;
    ensure_eq!(next(&mut watch).await?, Seen::Updated("a".into(), 7));
    second.update(8).await?;
    ensure_eq!(next(&mut watch).await?, Seen::Updated("b".into(), 8));
    first.leave().await?;
    ensure_eq!(next(&mut watch).await?, Seen::Left("a".into()));
    b.group("g").member("b").await?;
    drop(second);
    ensure_eq!(next(&mut watch).await?, Seen::Left("b".into()));
    not_now("an event without a change", watch.next()).await;
    Ok(())
}

async fn watch_reports_nothing_without_a_change(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let membership = join(&a, 1).await?;
    let mut watch = b.group("g").watch().await?;
    next(&mut watch).await?;
    a.group("g").create_if_missing().await?;
    membership.update(1).await?;
    fails(a.group("g").join(2).await, ErrorKind::MemberAlreadyExists);
    fails(a.group("g").delete().await, ErrorKind::GroupNotEmpty);
    a.group("other").create().await?;
    not_now("an event although no member has changed", watch.next()).await;
    Ok(())
}

async fn watch_goes_on_after_it_was_dropped(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    b.group("g").create().await?;
    let mut watch = b.group("g").watch().await?;
    for polls in 0..6 {
        let dropped = poll_then_drop(polls % 3, watch.next());
        let dropped = tokio::time::timeout(std::time::Duration::from_millis(15), dropped);
        let (seen, membership) = tokio::join!(dropped, join(&a, 0));
        let membership = membership?;
        // Either the dropped call returned the event, or the next call does.
        if seen.ok().flatten().transpose()?.is_none() {
            ensure_eq!(next(&mut watch).await?, Seen::Joined("a".into()));
        }
        membership.leave().await?;
        ensure_eq!(next(&mut watch).await?, Seen::Left("a".into()));
    }
    Ok(())
}

async fn watch_sees_a_take_over_as_another_incarnation(context: Context) -> Result<(), Failure> {
    let (a, twin) = (steady(&context, "a").await?, steady(&context, "a").await?);
    let former = join(&a, 0).await?;
    let mut watch = twin.group("g").watch().await?;
    next(&mut watch).await?;
    let incarnation = former.incarnation();
    let successor = twin.group("g").join_taking_over(1).await?;
    let left = soon("the end of the former", watch.next()).await?;
    let GroupEvent::Left(left) = left else {
        panic!("expected: the watch reports the leave of the former member first\nactual: {left:?}")
    };
    let joined = soon("the successor", watch.next()).await?;
    let GroupEvent::Joined(joined) = joined else {
        panic!("expected: the watch reports the join of the successor next\nactual: {joined:?}")
    };
    ensure_eq!((Some(left.incarnation()), Some(joined.incarnation())), (incarnation, successor.incarnation()));
    Ok(())
}

async fn watch_ends_with_the_group(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    a.group("g").create().await?;
    let mut watch = b.group("g").watch().await?;
    let watching = tokio::spawn(async move { watch.next().await });
    a.group("g").delete().await?;
    fails(ends("the end of the watch", watching).await, ErrorKind::GroupNotCreated);
    a.group("g").create().await?;
    let mut watch = b.group("g").watch().await?;
    b.close().await;
    fails(soon("the end of the watch", watch.next()).await, ErrorKind::Closed);
    Ok(())
}

/// Checks every event against the known members until the member `end` joins, and returns the number of events.
async fn check_events(mut watch: GroupWatch) -> Result<u32, Failure> {
    let (mut there, mut over) = (BTreeMap::<Incarnation, i64>::new(), Vec::new());
    let mut changes = 0;
    loop {
        let event = soon("the next event", watch.next()).await?;
        changes += 1;
        match event {
            GroupEvent::Joined(member) if member.id().as_bytes() == b"end" => break,
            GroupEvent::Joined(member) => {
                let before = there.insert(member.incarnation(), member.capabilities_as()?);
                ensure!(before.is_none() && !over.contains(&member.incarnation()), "{member:?} joined twice");
            }
            GroupEvent::Updated(member) => {
                let value = member.capabilities_as()?;
                let before = there.insert(member.incarnation(), value).expect("expected: a join before an update");
                ensure!(value > before, "an update from {before} to {value} goes back");
            }
            GroupEvent::Left(member) => {
                there.remove(&member.incarnation()).expect("expected: a join before a leave");
                over.push(member.incarnation());
            }
            GroupEvent::Resync => {
                return Err(Failure::new(
                    "expected: no Resync while the session is uninterrupted\nactual: the watch returned Resync",
                ));
            }
            other => return Err(Failure::new(format!("an unexpected event: {other:?}"))),
        }
    }
    ensure!(there.is_empty(), "these members never left: {there:?}");
    Ok(changes)
}

async fn make_changes(coordinator: Coordinator) -> Result<(), Failure> {
    for round in 0..8 {
        let membership = coordinator.group("g").join(0).await?;
        for value in 1..=(round % 3) {
            membership.update(value).await?;
        }
        let pause = rand::rng().random_range(0..4);
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        membership.leave().await?;
    }
    Ok(())
}

async fn watchers_agree_after_many_changes(context: Context) -> Result<(), Failure> {
    let members = try_join_all(["a", "b", "c", "d"].map(|member| steady(&context, member))).await?;
    members[0].group("g").create().await?;
    // Several watches of one coordinator may share what they read.
    let watching = [0, 0, 0, 1, 1].map(|index| members[index].clone());
    let watches = try_join_all(watching.iter().map(|member| async { member.group("g").watch().await })).await?;
    let watchers: Vec<_> = watches.into_iter().map(|watch| tokio::spawn(check_events(watch))).collect();
    try_join_all(members.iter().map(|member| make_changes(member.clone()))).await?;
    let last = steady(&context, "end").await?;
    let _end = last.group("g").join(0).await?;
    for watcher in watchers {
        ensure!(ends("the end of a watcher", watcher).await? > 0);
    }
    Ok(())
}

async fn partitioner_follows_the_group(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let _first = join(&a, 0).await?;
    let partitioner = a.group("g").partitioner().await?;
    ensure!((0..100).all(|key| partitioner.belongs_to_me(format!("key-{key}"))));
    let second = join(&b, 0).await?;
    let shared = async || Ok((0..100).any(|key| !partitioner.belongs_to_me(format!("key-{key}"))));
    eventually("the new member gets keys", PATIENCE, shared).await?;
    ensure_eq!(partitioner.members_for("key", 5).len(), 2);
    second.leave().await?;
    let alone = async || Ok((0..100).all(|key| partitioner.belongs_to_me(format!("key-{key}"))));
    eventually("the keys of the member that left come back", PATIENCE, alone).await?;
    Ok(())
}

async fn partitioner_gives_each_key_to_one_member(context: Context) -> Result<(), Failure> {
    let members = try_join_all(["a", "b", "c", "d"].map(|member| steady(&context, member))).await?;
    members[0].group("g").create().await?;
    let _memberships = try_join_all(members.iter().map(|member| join(member, 0))).await?;
    let partitioners =
        try_join_all(members.iter().map(|member| async { member.group("g").partitioner().await })).await?;
    for key in 0..300 {
        let owners = partitioners.iter().filter(|one| one.belongs_to_me(format!("key-{key}"))).count();
        ensure_eq!(owners, 1, "key-{key} has {owners} owners");
    }
    for partitioner in &partitioners {
        let own = (0..300).filter(|key| partitioner.belongs_to_me(format!("key-{key}"))).count();
        ensure!(own > 15, "a member has only {own} of 300 keys");
    }
    Ok(())
}

async fn partitioner_respects_weights(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    a.group("g").create().await?;
    let light = a.group("g").join(Capabilities::from_iter([("weight", 1)])).await?;
    let _heavy = b.group("g").join(Capabilities::from_iter([("weight", 4)])).await?;
    let partitioner = a.group("g").partitioner().await?;
    let own = async || (0..1000).filter(|key| partitioner.belongs_to_me(format!("key-{key}"))).count();
    let share = own().await;
    ensure!((50..400).contains(&share), "the member with a fifth of the weight has {share} of 1000 keys");
    light.update(Capabilities::from_iter([("weight", 0)])).await?;
    eventually("a member without weight has no key", PATIENCE, async || Ok(own().await == 0)).await?;
    Ok(())
}
