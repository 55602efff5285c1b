//! Clients that join and leave a group, and clients that watch it.

use rand::Rng;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tooz_core::{Coordinator, ErrorKind, GroupEvent, Member, Membership};

use super::kind::object_name;
use super::simulated_client::SimulatedClient;
use crate::history::event::{Act, Change};

/// Joins, changes its capabilities and leaves. A member at the end of the run stays until the settling time is over.
pub(super) async fn join_and_leave(client: &mut SimulatedClient) {
    let Some(mut coordinator) = client.connect(client.until()).await else { return };
    let mut membership = None;
    while !client.is_over() {
        if membership.is_none() && client.rng.random_bool(0.1) {
            coordinator.close().await;
            match client.connect(client.until()).await {
                Some(next) => coordinator = next,
                None => return,
            }
        }
        membership = match membership {
            None => join(client, &coordinator).await,
            Some((op, membership)) => stay(client, op, membership).await.map(|membership| (op, membership)),
        };
        let pause = client.rng.random_range(0.0..0.03);
        sleep(client.ttl().mul_f64(pause) * client.plan.slowness()).await;
    }
    sleep_until(client.recorder.instant(client.plan.over)).await;
    drop(membership);
    coordinator.close().await;
}

async fn join(client: &mut SimulatedClient, coordinator: &Coordinator) -> Option<(u32, Membership)> {
    let op = client.next_op();
    let group = coordinator.group(object_name(0));
    let weight = client.rng.random_range(0..100_u32);
    // An earlier incarnation of this client may exist until its TTL has passed.
    let (refusing, patience) = (client.rng.random_bool(0.5), client.rng.random_range(0.01..1.0));
    let joining = async {
        match refusing {
            true => group.join([("weight", weight)].into_iter().collect::<std::collections::HashMap<_, _>>()).await,
            false => group.join_taking_over(()).await,
        }
    };
    let membership = timeout(client.ttl().mul_f64(patience), joining).await.ok()?.ok()?;
    let incarnation = membership.incarnation().map(|incarnation| incarnation.to_string());
    client.recorder.note(client.id, Act::Joined(op, incarnation.unwrap_or_default()));
    Some((op, membership))
}

async fn stay(client: &mut SimulatedClient, op: u32, membership: Membership) -> Option<Membership> {
    match client.rng.random_range(0..10) {
        0..3 => {
            let _ = timeout(client.ttl() / 2, membership.update(client.rng.random::<u8>())).await;
            Some(membership)
        }
        3..6 => {
            if membership.leave().await.is_ok() {
                client.recorder.note(client.id, Act::LeftGroup(op));
            }
            None
        }
        6 => None,
        _ => Some(membership),
    }
}

/// Watches the group until the settling time is over.
pub(super) async fn watch(client: &mut SimulatedClient) {
    let Some(coordinator) = client.connect(client.settled()).await else { return };
    let group = coordinator.group(object_name(0));
    let opening = async {
        loop {
            match group.watch().await {
                Ok(watch) => return watch,
                Err(_) => sleep(client.ttl() / 30).await,
            }
        }
    };
    let Ok(mut watch) = timeout_at(client.settled(), opening).await else { return };
    let end = loop {
        match timeout_at(client.settled(), watch.next()).await {
            Ok(Ok(event)) => client.recorder.note(client.id, Act::Notified(change(&event))),
            Ok(Err(error)) if error.kind() == ErrorKind::GroupNotCreated => {
                client.recorder.note(client.id, Act::Interrupted(error.to_string()));
            }
            Ok(Err(error)) => break Act::UnexpectedError(error.to_string()),
            Err(_) => break Act::ObservedToTheEnd,
        }
    };
    client.recorder.note(client.id, end);
    coordinator.close().await;
}

fn change(event: &GroupEvent) -> Change {
    let of = |member: &Member| (member.id().to_string(), member.incarnation().to_string());
    match event {
        GroupEvent::Joined(member) => Change::Joined(of(member).0, of(member).1),
        GroupEvent::Left(member) => Change::Left(of(member).0, of(member).1),
        GroupEvent::Updated(member) => Change::Updated(of(member).0, of(member).1),
        // `Resync`, or an event that histories do not distinguish.
        _ => Change::Resync,
    }
}
