//! A host that is suspended while its process holds something. The clock of the server continues; the monotonic clock of
//! the process stops.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::coordinators::steady;
use super::fixtures::PATIENCE;
use crate::children::{Child, ChildContext, Role};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "suspend"
    PROCESSES:
    a_holder_that_slept_beyond_its_ttl_does_not_believe_that_it_holds,
    a_short_sleep_loses_nothing;
}

/// The roles of these trials.
pub(crate) fn roles() -> Vec<Role> {
    vec![Role::new("sleeper", hold_and_look)]
}

/// What a sleeper reports.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Message {
    Holds { timed: bool },
    Looked { held: bool, remaining: Option<Duration> },
    Lost,
}

/// Checks its guard in a thread that sleeps during the suspend. So the first check after the suspend comes before any timer
/// of the runtime.
async fn hold_and_look(child: ChildContext) -> Result<(), Failure> {
    let coordinator = child.coordinator("child").await?;
    let guard = coordinator.lock("l").acquire().await?;
    child.send(&Message::Holds { timed: guard.remaining().is_some() })?;
    loop {
        // The parent sends a line while the host is suspended, and one at the end.
        let is_over: bool = child.receive().await?;
        if is_over {
            break;
        }
        child.send(&Message::Looked { held: guard.is_held(), remaining: guard.remaining() })?;
    }
    guard.lost().await;
    child.send(&Message::Lost)?;
    child.receive().await
}

async fn sleeper(context: &Context) -> Result<(Child, bool), Failure> {
    let mut child = context.spawn_suspendable("sleeper", &())?;
    match child.receive().await? {
        Message::Holds { timed } => Ok((child, timed)),
        other => Err(Failure::new(format!("expected: the child holds the lock\nactual: it sends {other:?}"))),
    }
}

async fn looks(child: &mut Child) -> Result<(bool, Option<Duration>), Failure> {
    match child.receive().await? {
        Message::Looked { held, remaining } => Ok((held, remaining)),
        other => Err(Failure::new(format!("expected: the child looks at its guard\nactual: it sends {other:?}"))),
    }
}

async fn a_holder_that_slept_beyond_its_ttl_does_not_believe_that_it_holds(context: Context) -> Result<(), Failure> {
    let (mut child, timed) = sleeper(&context).await?;
    let a = steady(&context, "a").await?;
    child.suspend().await?;
    child.send(&false).await?;
    if !timed {
        sleep(context.ttl() * 2).await;
        ensure!(a.lock("l").try_acquire().await?.is_none(), "a process on a suspended host has not ended");
        child.wake()?;
        ensure_eq!(looks(&mut child).await?, (true, None));
        return Ok(());
    }
    let next = a.lock("l").acquire_timeout(context.ttl() * 2 + PATIENCE).await?;
    sleep(context.ttl()).await;
    child.wake()?;
    ensure_eq!(looks(&mut child).await?, (false, Some(Duration::ZERO)), "two clients believe that they hold the lock");
    child.send(&true).await?;
    ensure_eq!(child.receive::<Message>().await?, Message::Lost);
    ensure!(next.is_held());
    next.verify().await?;
    next.release().await?;
    Ok(())
}

async fn a_short_sleep_loses_nothing(context: Context) -> Result<(), Failure> {
    // The last renewal may be a third of the TTL old, and a tenth of it is the margin of the deadline. The server may grant a
    // shorter TTL than this.
    let context = context.with_ttl(context.ttl() * 3);
    let (mut child, _) = sleeper(&context).await?;
    let a = steady(&context, "a").await?;
    for _ in 0..3 {
        child.suspend().await?;
        child.send(&false).await?;
        sleep(context.ttl() / 4).await;
        child.wake()?;
        ensure!(looks(&mut child).await?.0, "the guard was lost");
        sleep(context.ttl() / 2).await;
    }
    ensure!(
        a.lock("l").try_acquire().await?.is_none(),
        "the lock is free although its holder slept for a short time only"
    );
    Ok(())
}
