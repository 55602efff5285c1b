//! Servers that come back with other data: emptied, or restored from a backup. Their numbers may start again, and the
//! sessions of the old server must end. These trials also check R8 of the driver contract.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tooz_core::{
    Characteristic, Coordinator, ErrorKind, GroupEvent, GroupWatch, Guard, Incarnation, Leadership, Membership,
    Observation, StartAt, Subscription,
};

use super::fixtures::{PATIENCE, fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "replaced"
    OWN_SERVER:
    an_emptied_server_ends_all_earlier_grants,
    a_restored_server_ends_all_grants_since_the_backup,
    followers_go_on_with_an_emptied_server,
    followers_go_on_with_a_restored_server;
}

/// How the server is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replacement {
    Emptied,
    Restored,
}

impl Replacement {
    /// Makes the backup. Clients connect afterwards, so that the backup does not contain their sessions.
    async fn prepare(self, context: &Context) -> Result<(), Failure> {
        let a = connect(context, "before").await?;
        a.group("g").create_if_missing().await?;
        a.close().await;
        match self {
            Self::Emptied => Ok(()),
            Self::Restored if context.info()?.characteristics.contains(&Characteristic::Sequential) => {
                Ok(context.server()?.save().await?)
            }
            Self::Restored => Err(Failure::ignored("the driver does not claim that its servers keep what was written")),
        }
    }

    async fn carry_out(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Emptied => Ok(context.server()?.empty().await?),
            Self::Restored => Ok(context.server()?.restore().await?),
        }
    }
}

/// The TTL is the server's shortest, since the trials wait for it.
async fn connect(context: &Context, member: &str) -> Result<Coordinator, Failure> {
    // The server may still be starting.
    let began = Instant::now();
    loop {
        match context.builder(member).connect().await {
            Ok(coordinator) => return Ok(coordinator),
            Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What a client holds.
struct Held {
    coordinator: Coordinator,
    guard: Guard,
    leadership: Leadership,
    membership: Membership,
}

async fn hold(context: &Context, member: &str) -> Result<Held, Failure> {
    let coordinator = connect(context, member).await?;
    // Some numbers are used, so that those of the next server are smaller.
    for _ in 0..20 {
        coordinator.lock("l").acquire().await?.release().await?;
    }
    let guard = coordinator.lock("l").acquire().await?;
    let leadership = coordinator.election("e").campaign().await?;
    let membership = coordinator.group("g").join(()).await?;
    Ok(Held { coordinator, guard, leadership, membership })
}

/// A membership is restored if its group still exists; else `joined` says that the group is gone.
///
/// Each of the two holders must learn of its loss within a TTL after the server is back. The trial waits for that before the
/// next holders acquire, because the server may grant at once what it has forgotten.
async fn nothing_is_held(context: &Context, replacement: Replacement) -> Result<(), Failure> {
    replacement.prepare(context).await?;
    let Held { coordinator, guard: held, leadership: led, membership } = hold(context, "old").await?;
    replacement.carry_out(context).await?;
    let limit = context.ttl() + PATIENCE;
    for loss in [held.lost(), led.lost()] {
        let loss = timeout(limit, loss).await.map_err(|_| {
            Failure::new(format!(
                "expected within {limit:?}: the holder is notified\nactual: it believes that it holds"
            ))
        })?;
        ensure!(loss.is_session_lost() || loss.is_not_held(), "{loss}");
    }
    ensure!(!held.is_held() && !led.is_held());
    let new = connect(context, "new").await?;
    let guard = new.lock("l").acquire_timeout(limit).await?;
    let leadership = new.election("e").campaign_timeout(limit).await?;
    ensure!(held.verify().await.is_err(), "the old guard was verified beside the new one");
    ensure!(held.release().await.is_err(), "the old guard was released beside the new one");
    guard.verify().await?;
    leadership.verify().await?;
    let joined = timeout(limit, membership.joined()).await;
    let joined = joined.map_err(|_| Failure::new("`joined` does not return after the server was replaced"))?;
    match replacement {
        Replacement::Restored => is_member(&new, joined?).await,
        Replacement::Emptied => {
            fails(joined, ErrorKind::MemberNotJoined);
            coordinator.group("g").create().await?;
            let membership = coordinator.group("g").join(()).await?;
            is_member(&new, membership.joined().await?).await
        }
    }
}

/// Checks that this is the only member.
async fn is_member(coordinator: &Coordinator, incarnation: Incarnation) -> Result<(), Failure> {
    let members = coordinator.group("g").members().await?;
    ensure_eq!(members.iter().map(|member| member.incarnation()).collect::<Vec<_>>(), [incarnation]);
    Ok(())
}

async fn an_emptied_server_ends_all_earlier_grants(context: Context) -> Result<(), Failure> {
    nothing_is_held(&context, Replacement::Emptied).await
}

async fn a_restored_server_ends_all_grants_since_the_backup(context: Context) -> Result<(), Failure> {
    nothing_is_held(&context, Replacement::Restored).await
}

/// What a client follows.
struct Followed {
    coordinator: Coordinator,
    leaders: Observation,
    members: GroupWatch,
    messages: Option<Subscription>,
}

async fn follow(context: &Context) -> Result<Followed, Failure> {
    let coordinator = connect(context, "follower").await?;
    let messages = match context.info()?.topics {
        true => Some(coordinator.topic("t").subscribe(StartAt::Earliest).await?),
        false => None,
    };
    let members = coordinator.group("g").watch().await?;
    Ok(Followed { leaders: coordinator.election("e").observe(), members, messages, coordinator })
}

impl Followed {
    async fn sees_leader(&mut self, term: u64) -> Result<(), Failure> {
        let seen = async {
            while self.leaders.next().await?.is_none_or(|leader| leader.term.0 != term) {}
            Ok::<_, Failure>(())
        };
        let deaf =
            |_| Failure::new(format!("expected: the observer sees the leader of term {term}\nactual: it does not"));
        timeout(PATIENCE * 2, seen).await.map_err(deaf)?
    }

    async fn sees_member(&mut self, id: &str) -> Result<(), Failure> {
        let seen = async {
            loop {
                match self.members.next().await {
                    Ok(GroupEvent::Joined(member)) if member.id().as_bytes() == id.as_bytes() => return Ok(()),
                    Err(error) if error.kind() != ErrorKind::GroupNotCreated => return Err(error.into()),
                    _ => {}
                }
            }
        };
        let deaf = |_| Failure::new(format!("expected: the watch shows the member {id}\nactual: it does not"));
        timeout(PATIENCE * 2, seen).await.map_err(deaf)?
    }
}

async fn followers_go_on(context: &Context, replacement: Replacement) -> Result<(), Failure> {
    replacement.prepare(context).await?;
    let mut follower = follow(context).await?;
    let old = hold(context, "old").await?;
    follower.sees_leader(old.leadership.term().0).await?;
    follower.sees_member("old").await?;
    if let Some(messages) = &mut follower.messages {
        for _ in 0..20 {
            old.coordinator.topic("t").publish(b"before").await?;
            ensure_eq!(soon("the message", messages.next()).await?.payload, b"before");
        }
    }
    replacement.carry_out(context).await?;
    let new = connect(context, "new").await?;
    new.group("g").create_if_missing().await?;
    let _member = new.group("g").join(()).await?;
    let leadership = new.election("e").campaign_timeout(context.ttl() + PATIENCE).await?;
    follower.sees_leader(leadership.term().0).await?;
    follower.sees_member("new").await?;
    if let Some(messages) = &mut follower.messages {
        new.topic("t").publish(b"first").await?;
        fails(soon("the gap", messages.next()).await, ErrorKind::Gap);
        ensure_eq!(soon("the first message", messages.next()).await?.payload, b"first");
        new.topic("t").publish(b"second").await?;
        ensure_eq!(soon("the second message", messages.next()).await?.payload, b"second");
    }
    follower.coordinator.close().await;
    Ok(())
}

async fn followers_go_on_with_an_emptied_server(context: Context) -> Result<(), Failure> {
    followers_go_on(&context, Replacement::Emptied).await
}

async fn followers_go_on_with_a_restored_server(context: Context) -> Result<(), Failure> {
    followers_go_on(&context, Replacement::Restored).await
}
