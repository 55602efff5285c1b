//! Groups: creation and deletion, membership, and capabilities.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tooz_core::{Capabilities, Coordinator, ErrorKind, Group, Name, Value};

use super::coordinators::{pair, steady};
use super::fixtures::{PATIENCE, eventually, fails, poll_then_drop, soon};
use crate::{Context, Failure, ensure, ensure_eq, ensure_ne};

trials! { "group"
    NOTHING:
    create_is_refused_the_second_time,
    groups_lists_what_was_created,
    delete_requires_an_empty_group,
    what_is_not_created_cannot_be_used,
    join_and_leave,
    join_is_refused_while_the_member_is_there,
    join_taking_over_notifies_the_former_member,
    members_are_listed_in_the_order_of_joining,
    member_returns_one_member,
    capabilities_are_of_any_type,
    update_changes_the_capabilities,
    dropping_a_membership_leaves,
    closing_the_coordinator_leaves,
    join_dropped_at_any_await_leaves_nothing,
    a_member_may_be_in_many_groups,
    twenty_members_join_and_leave;
}

async fn created(coordinator: &Coordinator) -> Result<Group, Failure> {
    let group = coordinator.group("g");
    group.create_if_missing().await?;
    Ok(group)
}

async fn member_ids(group: &Group) -> tooz_core::Result<Vec<String>> {
    Ok(group.members().await?.iter().map(|member| member.id().to_string()).collect())
}

async fn empties(group: &Group) -> Result<(), Failure> {
    let empty = async || Ok(group.members().await?.is_empty());
    Ok(eventually("the group is empty", PATIENCE, empty).await?)
}

async fn create_is_refused_the_second_time(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    a.group("g").create().await?;
    fails(b.group("g").create().await, ErrorKind::GroupAlreadyExists);
    ensure!(!b.group("g").create_if_missing().await?);
    ensure!(b.group("h").create_if_missing().await?);
    ensure!(a.group("g").members().await?.is_empty());
    Ok(())
}

async fn groups_lists_what_was_created(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    ensure!(a.groups().await?.is_empty());
    for name in ["b", "a", "ü/x", "a/b"] {
        a.group(name).create().await?;
    }
    let names = |names: Vec<Name>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    ensure_eq!(names(b.groups().await?), ["a", "a/b", "b", "ü/x"]);
    a.close().await;
    ensure_eq!(names(b.groups().await?).len(), 4, "groups are gone with the session that created them");
    b.group("a").delete().await?;
    ensure_eq!(names(b.groups().await?), ["a/b", "b", "ü/x"]);
    Ok(())
}

async fn delete_requires_an_empty_group(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let group = created(&a).await?;
    let membership = b.group("g").join(()).await?;
    fails(group.delete().await, ErrorKind::GroupNotEmpty);
    ensure_eq!(member_ids(&group).await?, ["b"]);
    membership.leave().await?;
    group.delete().await?;
    fails(group.delete().await, ErrorKind::GroupNotCreated);
    fails(b.group("g").members().await, ErrorKind::GroupNotCreated);
    group.create().await?;
    Ok(())
}

async fn what_is_not_created_cannot_be_used(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let group = a.group("g");
    fails(group.join(()).await, ErrorKind::GroupNotCreated);
    fails(group.join_taking_over(()).await, ErrorKind::GroupNotCreated);
    fails(group.members().await, ErrorKind::GroupNotCreated);
    fails(group.member("a").await, ErrorKind::GroupNotCreated);
    fails(group.watch().await, ErrorKind::GroupNotCreated);
    fails(group.partitioner().await, ErrorKind::GroupNotCreated);
    fails(group.delete().await, ErrorKind::GroupNotCreated);
    Ok(())
}

async fn join_and_leave(context: Context) -> Result<(), Failure> {
    let before = SystemTime::now() - Duration::from_secs(1);
    let (a, b) = pair(&context).await?;
    let group = created(&b).await?;
    let membership = a.group("g").join(Capabilities::from_iter([("weight", 2)])).await?;
    ensure_eq!((membership.member(), membership.group().as_bytes()), (a.member(), &b"g"[..]));
    let members = group.members().await?;
    ensure_eq!(members.len(), 1);
    ensure_eq!((members[0].id(), Some(members[0].incarnation())), (a.member(), membership.incarnation()));
    ensure!(members[0].joined_at() >= before && members[0].joined_at() <= SystemTime::now() + Duration::from_secs(1));
    ensure_eq!(members[0].capabilities()?.get("weight"), Some(&Value::Int(2)));
    membership.leave().await?;
    ensure!(group.members().await?.is_empty());
    let again = a.group("g").join(()).await?;
    ensure_ne!(
        again.incarnation(),
        Some(members[0].incarnation()),
        "a member that returns must be another incarnation"
    );
    Ok(())
}

async fn join_is_refused_while_the_member_is_there(context: Context) -> Result<(), Failure> {
    let (a, twin) = (steady(&context, "a").await?, steady(&context, "a").await?);
    created(&a).await?;
    let membership = a.group("g").join(()).await?;
    fails(a.group("g").join(()).await, ErrorKind::MemberAlreadyExists);
    fails(twin.group("g").join(()).await, ErrorKind::MemberAlreadyExists);
    ensure!(membership.incarnation().is_some());
    membership.leave().await?;
    twin.group("g").join(()).await?.leave().await?;
    Ok(())
}

async fn join_taking_over_notifies_the_former_member(context: Context) -> Result<(), Failure> {
    let (a, twin) = (steady(&context, "a").await?, steady(&context, "a").await?);
    let group = created(&a).await?;
    let former = group.join("former").await?;
    let successor = twin.group("g").join_taking_over("successor").await?;
    let cause = soon("the notification of the take-over", former.lost()).await;
    ensure!(cause.is_not_held(), "{cause}");
    ensure_eq!(former.incarnation(), None);
    fails(former.update(()).await, ErrorKind::MemberNotJoined);
    fails(soon("the answer of joined", former.joined()).await, ErrorKind::MemberNotJoined);
    fails(former.leave().await, ErrorKind::MemberNotJoined);
    let members = group.members().await?;
    ensure_eq!(members.iter().map(|member| Some(member.incarnation())).collect::<Vec<_>>(), [successor.incarnation()]);
    ensure_eq!(members[0].capabilities_as::<String>()?, "successor");
    Ok(())
}

async fn members_are_listed_in_the_order_of_joining(context: Context) -> Result<(), Failure> {
    let mut memberships = Vec::new();
    for member in ["z", "a", "m"] {
        let coordinator = steady(&context, member).await?;
        memberships.push(created(&coordinator).await?.join(()).await?);
    }
    let group = memberships[0].coordinator().group("g");
    ensure_eq!(member_ids(&group).await?, ["z", "a", "m"]);
    memberships[1].update("later").await?;
    ensure_eq!(member_ids(&group).await?, ["z", "a", "m"], "an update has moved a member");
    Ok(())
}

async fn member_returns_one_member(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let membership = created(&a).await?.join(7).await?;
    ensure_eq!(b.group("g").member("a").await?.capabilities_as::<u8>()?, 7);
    fails(b.group("g").member("b").await, ErrorKind::MemberNotJoined);
    fails(b.group("g").member("").await, ErrorKind::InvalidName);
    membership.leave().await?;
    fails(b.group("g").member("a").await, ErrorKind::MemberNotJoined);
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Worker {
    zone: String,
    slots: Vec<u32>,
    labels: BTreeMap<String, Option<f64>>,
}

async fn capabilities_are_of_any_type(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let membership = created(&a).await?.join(()).await?;
    let read = async || b.group("g").member("a").await;
    ensure_eq!(read().await?.capabilities()?, Capabilities::default());
    let labels = BTreeMap::from([("x".to_owned(), Some(0.5)), ("y".to_owned(), None)]);
    let worker = Worker { zone: "日本".to_owned(), slots: vec![1, u32::MAX], labels };
    membership.update(&worker).await?;
    ensure_eq!(read().await?.capabilities_as::<Worker>()?, worker);
    ensure_eq!(read().await?.capabilities()?.get("zone"), Some(&Value::from("日本")));
    fails(read().await?.capabilities_as::<Vec<u8>>(), ErrorKind::Corrupt);
    membership.update("x".repeat(50_000)).await?;
    ensure_eq!(read().await?.capabilities_as::<String>()?.len(), 50_000);
    Ok(())
}

async fn update_changes_the_capabilities(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let membership = created(&a).await?.join(0).await?;
    let incarnation = membership.incarnation();
    let joined_at = b.group("g").member("a").await?.joined_at();
    for value in 1..=5 {
        membership.update(value).await?;
        let member = b.group("g").member("a").await?;
        ensure_eq!(member.capabilities_as::<i32>()?, value);
        ensure_eq!((Some(member.incarnation()), member.joined_at()), (incarnation, joined_at));
    }
    Ok(())
}

async fn dropping_a_membership_leaves(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let group = created(&b).await?;
    drop(a.group("g").join(()).await?);
    empties(&group).await?;
    let leaving = a.group("g").join(()).await?.leave();
    let _ = tokio::time::timeout(Duration::from_millis(50), poll_then_drop(1, leaving)).await;
    empties(&group).await
}

async fn closing_the_coordinator_leaves(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let group = created(&b).await?;
    let membership = a.group("g").join(()).await?;
    a.close().await;
    ensure!(group.members().await?.is_empty());
    ensure!(soon("the notification of the loss", membership.lost()).await.is_closed());
    fails(membership.update(()).await, ErrorKind::Closed);
    Ok(())
}

async fn join_dropped_at_any_await_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let group = created(&b).await?;
    for polls in 0..10 {
        let join = poll_then_drop(polls, async { a.group("g").join(()).await });
        let joined = tokio::time::timeout(Duration::from_millis(100), join).await;
        // The previous attempt may not have been withdrawn yet.
        if let Ok(Some(Err(error))) = joined {
            ensure_eq!(error.kind(), ErrorKind::MemberAlreadyExists, "{error}");
        }
    }
    empties(&group).await?;
    a.group("g").join(()).await?.leave().await?;
    Ok(())
}

async fn a_member_may_be_in_many_groups(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut memberships = Vec::new();
    for index in 0..20 {
        let group = a.group(format!("g{index}"));
        group.create().await?;
        memberships.push(group.join(index).await?);
    }
    ensure_eq!(b.group("g7").member("a").await?.capabilities_as::<u32>()?, 7);
    memberships.remove(7).leave().await?;
    ensure!(b.group("g7").members().await?.is_empty());
    ensure_eq!(member_ids(&b.group("g8")).await?, ["a"]);
    Ok(())
}

async fn twenty_members_join_and_leave(context: Context) -> Result<(), Failure> {
    let ids: Vec<_> = (0..20).map(|index| format!("member-{index}")).collect();
    let coordinators = try_join_all(ids.iter().map(|id| steady(&context, id))).await?;
    let group = created(&coordinators[0]).await?;
    let joins = coordinators.iter().map(|coordinator| async { coordinator.group("g").join(()).await });
    let memberships = try_join_all(joins).await?;
    let mut listed = member_ids(&group).await?;
    listed.sort();
    let mut expected = ids.clone();
    expected.sort();
    ensure_eq!(listed, expected);
    try_join_all(memberships.into_iter().map(tooz_core::Membership::leave)).await?;
    ensure!(group.members().await?.is_empty());
    Ok(())
}
