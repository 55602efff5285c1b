//! Clients that join and leave a group, and those who watch it.

use rand::Rng;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tooz_core::{Coordinator, GroupEvent, Member, Membership};

use super::event::{Act, Change};
use super::part::{Player, object_name};

/// Joins, changes its capabilities and leaves; whoever is a member at the end stays until all has settled.
pub(super) async fn join_and_leave(player: &mut Player) {
    let Some(mut coordinator) = player.connect(player.until()).await else { return };
    let mut membership = None;
    while !player.is_over() {
        if membership.is_none() && player.rng.random_bool(0.1) {
            coordinator.close().await;
            match player.connect(player.until()).await {
                Some(next) => coordinator = next,
                None => return,
            }
        }
        membership = match membership {
            None => join(player, &coordinator).await,
            Some((op, membership)) => stay(player, op, membership).await.map(|membership| (op, membership)),
        };
        let pause = player.rng.random_range(0.0..0.03);
        sleep(player.ttl().mul_f64(pause)).await;
    }
    sleep_until(player.recorder.instant(player.part.over)).await;
    drop(membership);
    coordinator.close().await;
}

async fn join(player: &mut Player, coordinator: &Coordinator) -> Option<(u32, Membership)> {
    let op = player.next_op();
    let group = coordinator.group(object_name(0));
    let weight = player.rng.random_range(0..100_u32);
    // An earlier incarnation of ours may stand until its TTL has passed.
    let (refusing, patience) = (player.rng.random_bool(0.5), player.rng.random_range(0.01..1.0));
    let joining = async {
        match refusing {
            true => group.join([("weight", weight)].into_iter().collect::<std::collections::HashMap<_, _>>()).await,
            false => group.join_taking_over(()).await,
        }
    };
    let membership = timeout(player.ttl().mul_f64(patience), joining).await.ok()?.ok()?;
    let incarnation = membership.incarnation().map(|incarnation| incarnation.to_string());
    player.recorder.note(player.id, Act::Joined(op, incarnation.unwrap_or_default()));
    Some((op, membership))
}

async fn stay(player: &mut Player, op: u32, membership: Membership) -> Option<Membership> {
    match player.rng.random_range(0..10) {
        0..3 => {
            let _ = timeout(player.ttl() / 2, membership.update(player.rng.random::<u8>())).await;
            Some(membership)
        }
        3..6 => {
            if membership.leave().await.is_ok() {
                player.recorder.note(player.id, Act::Parted(op));
            }
            None
        }
        6 => None,
        _ => Some(membership),
    }
}

/// Watches the group until all has settled.
pub(super) async fn watch(player: &mut Player) {
    let Some(coordinator) = player.connect(player.settled()).await else { return };
    let group = coordinator.group(object_name(0));
    let opening = async {
        loop {
            match group.watch().await {
                Ok(watch) => return watch,
                Err(_) => sleep(player.ttl() / 30).await,
            }
        }
    };
    let Ok(mut watch) = timeout_at(player.settled(), opening).await else { return };
    let end = loop {
        match timeout_at(player.settled(), watch.next()).await {
            Ok(Ok(event)) => player.recorder.note(player.id, Act::Told(change(&event))),
            Ok(Err(error)) => break Act::Broken(error.to_string()),
            Err(_) => break Act::LookedOn,
        }
    };
    player.recorder.note(player.id, end);
    coordinator.close().await;
}

fn change(event: &GroupEvent) -> Change {
    let of = |member: &Member| (member.id().to_string(), member.incarnation().to_string());
    match event {
        GroupEvent::Joined(member) => Change::Joined(of(member).0, of(member).1),
        GroupEvent::Left(member) => Change::Left(of(member).0, of(member).1),
        GroupEvent::Updated(member) => Change::Updated(of(member).0, of(member).1),
        // `Resync`, or an event that histories do not know.
        _ => Change::Resync,
    }
}
