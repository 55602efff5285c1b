//! Unique keys, and declared rosters.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::sleep;
use tooz_core::driver::{IfTaken, Key, Kind, NewEntry};
use tooz_core::{ErrorKind, Name};

use super::enter::awkward_names;
use crate::trials::fixtures::{Client, admitted, ends, exclusive, fails, group, lock, member, roster, waiting};
use crate::{Context, Failure, ensure, ensure_eq};

rule_trials! {
    R11:
    a_take_over_races_with_leave,
    a_take_over_wakes_the_next;
    R12:
    a_unique_key_refuses_a_second_entry,
    a_unique_key_is_taken_once_by_many_at_a_time,
    a_unique_key_is_taken_over,
    a_unique_key_is_free_again,
    needs_declared_is_checked;
    R21:
    declare_is_idempotent,
    declared_outlives_its_session;
    R22:
    retract_is_refused_twice,
    retract_requires_an_empty_roster,
    retract_is_atomic_against_enter;
    R23:
    declared_lists_every_name,
    declared_lists_many_names;
}

async fn a_unique_key_refuses_a_second_entry(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let keys = [&b"m"[..], b"M", b"m/", b"m\0", b"\xff"];
    for key in keys {
        let first = member(key, IfTaken::Refuse);
        let ticket = admitted(a.enter(&group, first).await?);
        fails(b.enter(&group, member(key, IfTaken::Refuse)).await, ErrorKind::MemberAlreadyExists);
        fails(a.enter(&group, member(key, IfTaken::Refuse)).await, ErrorKind::MemberAlreadyExists);
        ensure_eq!(
            admitted(a.enter(&group, first).await?),
            ticket,
            "a repeated request must return the ticket of its entry"
        );
    }
    let entries = b.entries(&group).await?;
    ensure_eq!(entries.iter().map(|entry| entry.key.as_deref().unwrap_or(b"none")).collect::<Vec<_>>(), keys);
    admitted(b.enter(&roster(Kind::Group, "other"), member(b"m", IfTaken::Refuse)).await?);
    Ok(())
}

async fn a_unique_key_is_taken_once_by_many_at_a_time(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    for round in 0..5u8 {
        let key = [round];
        let enters = (0..16).map(|index| {
            let client = if index % 2 == 0 { &a } else { &b };
            client.enter(&group, member(&key, IfTaken::Refuse))
        });
        let (entered, refused): (Vec<_>, Vec<_>) = join_all(enters).await.into_iter().partition(Result::is_ok);
        ensure_eq!(entered.len(), 1, "a unique key was taken {} times", entered.len());
        refused.into_iter().for_each(|outcome| fails(outcome, ErrorKind::MemberAlreadyExists));
    }
    ensure_eq!(a.seqs(&group).await?.len(), 5);
    Ok(())
}

async fn a_unique_key_is_taken_over(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let former = admitted(a.enter(&group, member(b"m", IfTaken::Refuse)).await?);
    let other = admitted(a.enter(&group, member(b"n", IfTaken::Refuse)).await?);
    let new = NewEntry { value: b"new", ..member(b"m", IfTaken::TakeOver) };
    let ticket = admitted(b.enter(&group, new).await?);
    ensure!(ticket.seq > other.seq, "the entry that took over is not behind the others");
    a.is_notified_of(former).await;
    fails(a.replace(&group, &former, b"x").await, ErrorKind::NotHeld);
    ensure!(!a.leave(&group, &former).await?, "the former owner has removed its successor");
    a.withdraw(&group, former.nonce).await?;
    ensure_eq!(admitted(b.enter(&group, new).await?), ticket, "a repeated request must return the ticket of its entry");
    let entries = b.entries(&group).await?;
    ensure_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [other.seq, ticket.seq]);
    ensure_eq!((entries[1].key.as_deref(), &entries[1].value[..]), (Some(&b"m"[..]), &b"new"[..]));
    fails(a.enter(&group, member(b"m", IfTaken::Refuse)).await, ErrorKind::MemberAlreadyExists);
    Ok(())
}

async fn a_take_over_races_with_leave(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    for _ in 0..20 {
        let former = admitted(a.enter(&group, member(b"m", IfTaken::TakeOver)).await?);
        let (left, taken) = tokio::join!(a.leave(&group, &former), b.enter(&group, member(b"m", IfTaken::TakeOver)));
        left?;
        let ticket = admitted(taken?);
        ensure_eq!(a.seqs(&group).await?, [ticket.seq]);
    }
    Ok(())
}

/// The new entry is behind those that the former one blocked.
async fn a_take_over_wakes_the_next(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let keyed = |if_taken| NewEntry { key: Key::Unique(b"m", if_taken), ..exclusive() };
    let former = admitted(a.enter(&roster, keyed(IfTaken::Refuse)).await?);
    let next = b.queue(&roster).await?;
    let turn = b.wait_in_background(&roster, next);
    sleep(Duration::from_millis(50)).await;
    let (taken, blocked_by) = waiting(a.enter(&roster, keyed(IfTaken::TakeOver)).await?);
    ensure_eq!(blocked_by, next.seq);
    ends("the grant to the waiter whose blocker was taken over", turn).await?;
    a.is_notified_of(former).await;
    ensure_eq!(b.seqs(&roster).await?, [next.seq, taken.seq]);
    Ok(())
}

async fn a_unique_key_is_free_again(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let left = admitted(a.enter(&group, member(b"m", IfTaken::Refuse)).await?);
    ensure!(a.leave(&group, &left).await?);
    let withdrawn = admitted(b.enter(&group, member(b"m", IfTaken::Refuse)).await?);
    b.withdraw(&group, withdrawn.nonce).await?;
    let evicted = admitted(a.enter(&group, member(b"m", IfTaken::Refuse)).await?);
    ensure!(b.evict(&group, evicted.seq).await?);
    admitted(a.enter(&group, member(b"m", IfTaken::Refuse)).await?);
    a.close().await?;
    admitted(b.enter(&group, member(b"m", IfTaken::Refuse)).await?);
    Ok(())
}

async fn needs_declared_is_checked(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let new = NewEntry { needs_declared: true, ..member(b"m", IfTaken::Refuse) };
    fails(a.enter(&group, new).await, ErrorKind::GroupNotCreated);
    ensure!(a.entries(&group).await?.is_empty());
    ensure!(b.declare(&roster(Kind::Group, "other")).await?);
    fails(a.enter(&group, new).await, ErrorKind::GroupNotCreated);
    ensure!(b.declare(&group).await?);
    let ticket = admitted(a.enter(&group, new).await?);
    let snapshot = b.snapshot(&group, None).await?;
    ensure!(snapshot.declared && snapshot.entries.len() == 1, "{snapshot:?}");
    ensure!(a.leave(&group, &ticket).await?);
    b.retract(&group).await?;
    let new = NewEntry { nonce: exclusive().nonce, ..new };
    fails(a.enter(&group, new).await, ErrorKind::GroupNotCreated);
    Ok(())
}

async fn declare_is_idempotent(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    ensure!(!a.snapshot(&group, None).await?.declared);
    let new =
        try_join_all((0..8).map(|index| if index % 2 == 0 { a.declare(&group) } else { b.declare(&group) })).await?;
    ensure_eq!(new.iter().filter(|new| **new).count(), 1, "{new:?}");
    ensure!(!a.declare(&group).await?);
    ensure!(b.snapshot(&group, None).await?.declared);
    // A roster with entries may be declared too.
    let used = roster(Kind::Group, "used");
    let ticket = a.hold(&used).await?;
    ensure!(b.declare(&used).await?);
    ensure_eq!(b.seqs(&used).await?, [ticket.seq]);
    Ok(())
}

async fn declared_lists_every_name(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    ensure!(a.declared(Kind::Group).await?.is_empty());
    let mut names = awkward_names();
    for name in &names {
        ensure!(a.declare(&roster(Kind::Group, name)).await?, "{name:?} is taken for another name");
    }
    a.declare(&roster(Kind::Election, "of another kind")).await?;
    a.hold(&roster(Kind::Group, "in use but not declared")).await?;
    names.sort();
    let listed = b.declared(Kind::Group).await?;
    ensure_eq!(listed.iter().map(Name::as_bytes).collect::<Vec<_>>(), names);
    for name in &names {
        b.retract(&roster(Kind::Group, name)).await?;
    }
    ensure!(a.declared(Kind::Group).await?.is_empty());
    Ok(())
}

/// The names fill more than two pages, for backends that read pages of 100.
async fn declared_lists_many_names(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let names: Vec<_> = (0..230).map(|index| Name::new(format!("group {index:03}"))).collect::<Result<_, _>>()?;
    for some in names.chunks(23) {
        try_join_all(some.iter().map(async |name| a.declare(&roster(Kind::Group, name)).await)).await?;
    }
    ensure_eq!(b.declared(Kind::Group).await?, names);
    Ok(())
}

async fn declared_outlives_its_session(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    a.declare(&group).await?;
    a.hold(&group).await?;
    a.close().await?;
    let snapshot = b.snapshot(&group, None).await?;
    ensure!(snapshot.declared && snapshot.entries.is_empty(), "{snapshot:?}");
    ensure_eq!(b.declared(Kind::Group).await?, [group.name]);
    Ok(())
}

async fn retract_is_refused_twice(context: Context) -> Result<(), Failure> {
    let (a, group) = (Client::open(&context, "a").await?, group());
    fails(a.retract(&group).await, ErrorKind::GroupNotCreated);
    a.declare(&group).await?;
    a.retract(&group).await?;
    fails(a.retract(&group).await, ErrorKind::GroupNotCreated);
    Ok(())
}

async fn retract_requires_an_empty_roster(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    fails(a.retract(&group).await, ErrorKind::GroupNotCreated);
    a.declare(&group).await?;
    let ticket = a.hold(&group).await?;
    fails(b.retract(&group).await, ErrorKind::GroupNotEmpty);
    ensure_eq!(b.seqs(&group).await?, [ticket.seq]);
    ensure!(a.leave(&group, &ticket).await?);
    b.retract(&group).await?;
    fails(b.retract(&group).await, ErrorKind::GroupNotCreated);
    let snapshot = a.snapshot(&group, None).await?;
    ensure!(!snapshot.declared && snapshot.entries.is_empty(), "{snapshot:?}");
    ensure!(a.declare(&group).await?);
    Ok(())
}

async fn retract_is_atomic_against_enter(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    for round in 0..30 {
        a.declare(&group).await?;
        let new = NewEntry { needs_declared: true, ..member(b"m", IfTaken::Refuse) };
        let (entered, retracted) = tokio::join!(a.enter(&group, new), b.retract(&group));
        let snapshot = a.snapshot(&group, None).await?;
        match (entered, retracted) {
            (Ok(standing), Err(error)) => {
                ensure_eq!(error.kind(), ErrorKind::GroupNotEmpty, "{error}");
                ensure!(snapshot.declared && snapshot.entries.len() == 1, "round {round}: {snapshot:?}");
                ensure!(a.leave(&group, &admitted(standing)).await?);
            }
            (Err(error), Ok(())) => {
                ensure_eq!(error.kind(), ErrorKind::GroupNotCreated, "{error}");
                ensure!(!snapshot.declared && snapshot.entries.is_empty(), "round {round}: {snapshot:?}");
            }
            other => panic!("round {round}: expected: either enter or retract succeeds\nactual: {other:?}"),
        }
    }
    Ok(())
}
