//! The keys of a member as events: one owner for each key, time to finish, and hand-over after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tooz_core::{Assignment, AssignmentEvent, Assignments, Coordinator, ErrorKind, Membership, Name, SessionState};

use super::coordinators::pair;
use super::fixtures::{PATIENCE, ends, eventually, fails, not_now, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "assignments"
    NOTHING:
    keys_move_to_a_new_member_when_their_owner_has_finished,
    an_owner_that_does_not_finish_in_time_loses_its_keys,
    the_keys_of_a_closed_coordinator_move_at_once,
    close_hands_all_keys_over,
    an_assignment_that_was_dropped_comes_again,
    the_reason_why_no_key_is_owned_is_reported,
    a_partitioner_reports_its_changes;
}

const KEYS: usize = 24;

/// A client, its membership and the keys that it owns.
struct Worker {
    events: Assignments,
    owned: BTreeMap<String, Assignment>,
    _membership: Membership,
}

impl Worker {
    async fn start(coordinator: &Coordinator, drain: Duration) -> Result<Self, Failure> {
        let group = coordinator.group("g");
        group.create_if_missing().await?;
        let membership = group.join(()).await?;
        let events = group.assignments((0..KEYS).map(|key| format!("k{key}")), drain).await?;
        Ok(Self { events, owned: BTreeMap::new(), _membership: membership })
    }

    async fn next(&mut self) -> Result<AssignmentEvent, Failure> {
        let event = soon("the next event", self.events.next()).await;
        Ok(event.expect("expected: the assignments continue")?)
    }

    /// Receives assignments until the worker owns `count` keys.
    async fn owns(&mut self, count: usize) -> Result<(), Failure> {
        while self.owned.len() < count {
            match self.next().await? {
                AssignmentEvent::Assigned(assignment) => {
                    ensure!(assignment.is_held());
                    self.owned.insert(assignment.key().to_string(), assignment);
                }
                other => panic!("expected: a key is assigned\nactual: {other:?}"),
            }
        }
        Ok(())
    }

    /// The key that the next event revokes.
    async fn revoked(&mut self) -> Result<String, Failure> {
        match self.next().await? {
            AssignmentEvent::Revoked(key) => Ok(key.to_string()),
            other => panic!("expected: a key is revoked\nactual: {other:?}"),
        }
    }
}

/// How many keys the ring gives to member `b` of the group `a`, `b`.
async fn share_of_b(coordinator: &Coordinator) -> Result<usize, Failure> {
    let partitioner = coordinator.group("g").partitioner().await?;
    let has_two = async || Ok((0..1000).any(|key| partitioner.belongs_to_member(format!("{key}"), "b")));
    eventually("the partitioner sees both members", PATIENCE, has_two).await?;
    Ok((0..KEYS).filter(|key| partitioner.belongs_to_member(format!("k{key}"), "b")).count())
}

async fn keys_move_to_a_new_member_when_their_owner_has_finished(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut first = Worker::start(&a, PATIENCE * 6).await?;
    first.owns(KEYS).await?;
    let mut second = Worker::start(&b, PATIENCE * 6).await?;
    let share = share_of_b(&b).await?;
    ensure!((1..KEYS).contains(&share), "the ring gives {share} of {KEYS} keys to the second member");
    let mut moved = BTreeSet::new();
    for _ in 0..share {
        moved.insert(first.revoked().await?);
    }
    not_now("an assignment before its owner has finished", second.events.next()).await;
    let mut tokens = BTreeMap::new();
    for key in &moved {
        let assignment = first.owned.remove(key).expect("expected: a revoked key was assigned");
        soon("the revocation", assignment.revoked()).await;
        ensure!(assignment.is_held(), "a revoked key was taken from its owner");
        tokens.insert(key.clone(), assignment.fencing_token());
    }
    second.owns(share).await?;
    ensure_eq!(second.owned.keys().cloned().collect::<BTreeSet<_>>(), moved);
    for (key, assignment) in &second.owned {
        ensure!(assignment.fencing_token() > tokens[key]);
    }
    ensure!(first.owned.values().all(Assignment::is_held), "a key that did not move was interrupted");
    not_now("a further event", first.events.next()).await;
    Ok(())
}

async fn an_owner_that_does_not_finish_in_time_loses_its_keys(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let drain = Duration::from_millis(300);
    let mut first = Worker::start(&a, drain).await?;
    first.owns(KEYS).await?;
    let mut second = Worker::start(&b, drain).await?;
    let share = share_of_b(&b).await?;
    second.owns(share).await?;
    for key in second.owned.keys() {
        let former = &first.owned[key];
        ensure!(!former.is_held());
        ensure!(soon("the loss", former.lost()).await.is_not_held());
    }
    ensure_eq!(first.owned.values().filter(|assignment| assignment.is_held()).count(), KEYS - share);
    Ok(())
}

async fn the_keys_of_a_closed_coordinator_move_at_once(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut second = Worker::start(&b, PATIENCE * 6).await?;
    second.owns(KEYS).await?;
    let mut first = Worker::start(&a, PATIENCE * 6).await?;
    let key = second.revoked().await?;
    drop(second.owned.remove(&key));
    first.owns(1).await?;
    b.close().await;
    first.owns(KEYS).await?;
    ensure!(second.owned.values().all(|assignment| !assignment.is_held()));
    Ok(())
}

async fn close_hands_all_keys_over(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut first = Worker::start(&a, PATIENCE * 6).await?;
    first.owns(KEYS / 2).await?;
    let Worker { events, owned, _membership } = first;
    let finishing = tokio::spawn(async move {
        for assignment in owned.into_values() {
            assignment.revoked().await;
        }
    });
    soon("the hand-over of all keys", events.close()).await;
    ends("the work", finishing).await;
    _membership.leave().await?;
    ensure_eq!(a.state(), SessionState::Connected);
    // The listing may lag where reads do.
    let all_free = || async { Ok(b.locks().all().await?.is_empty()) };
    eventually("no key is locked", PATIENCE, all_free).await?;
    Worker::start(&b, PATIENCE).await?.owns(KEYS).await
}

async fn an_assignment_that_was_dropped_comes_again(context: Context) -> Result<(), Failure> {
    let (a, _b) = pair(&context).await?;
    let mut worker = Worker::start(&a, PATIENCE).await?;
    worker.owns(KEYS).await?;
    let token = worker.owned.remove("k7").map(|assignment| assignment.fencing_token());
    worker.owns(KEYS).await?;
    ensure!(Some(worker.owned["k7"].fencing_token()) > token);
    Ok(())
}

async fn the_reason_why_no_key_is_owned_is_reported(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let group = a.group("g");
    group.create().await?;
    let mut assignments = group.assignments(["k"], PATIENCE).await?;
    not_now("an assignment without a membership", assignments.next()).await;
    b.group("g").delete().await?;
    let reported = soon("the error", assignments.next()).await.expect("expected: the assignments continue");
    fails(reported, ErrorKind::GroupNotCreated);
    group.create().await?;
    let membership = group.join(()).await?;
    let assigned = soon("the key", assignments.next()).await.transpose()?;
    ensure!(matches!(assigned, Some(AssignmentEvent::Assigned(_))), "{assigned:?}");
    drop(membership);
    a.close().await;
    let closed = async {
        while let Some(event) = assignments.next().await {
            if let Err(error) = event {
                return Some(error.kind());
            }
        }
        None
    };
    ensure_eq!(soon("the last error", closed).await, Some(ErrorKind::Closed));
    // The name of the lock of the longest key would be too long.
    for invalid in [String::new(), "k".repeat(Name::MAX_LEN)] {
        fails(group.assignments([invalid], PATIENCE).await, ErrorKind::InvalidName);
    }
    Ok(())
}

async fn a_partitioner_reports_its_changes(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let group = a.group("g");
    group.create().await?;
    let mut partitioner = group.partitioner().await?;
    not_now("a change", partitioner.changed()).await;
    let membership = b.group("g").join(()).await?;
    soon("the new member", partitioner.changed()).await?;
    ensure!(partitioner.belongs_to_member("k", "b"));
    membership.leave().await?;
    soon("the member that left", partitioner.changed()).await?;
    group.delete().await?;
    fails(soon("the deletion", partitioner.changed()).await, ErrorKind::GroupNotCreated);
    Ok(())
}
