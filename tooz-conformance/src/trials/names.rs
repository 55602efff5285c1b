//! What a coordinator says about names in use, and about its own health.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use tooz_core::{ErrorKind, Name, Names, SessionState};

use super::coordinators::{pair, steady};
use super::fixtures::{fails, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "coordinator"
    NOTHING:
    names_in_use_are_listed,
    many_names_are_listed_in_pages,
    health_measures_a_round_trip,
    health_of_a_closed_coordinator_is_bad;
}

async fn set(names: Names) -> Result<BTreeSet<String>, Failure> {
    Ok(names.map_ok(|name: Name| name.to_string()).try_collect().await?)
}

fn texts(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn names_in_use_are_listed(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    ensure!(a.locks().all().await?.is_empty() && b.semaphores().all().await?.is_empty());
    let (first, _second) = (a.lock("l1").acquire().await?, b.lock("l2").shared().acquire().await?);
    let _permit = a.semaphore("s", 2).acquire().await?;
    let _leadership = b.election("e").campaign().await?;
    b.group("g").create().await?;
    let _membership = a.group("g").join(()).await?;
    ensure_eq!(set(b.locks()).await?, texts(&["l1", "l2"]));
    ensure_eq!(set(b.semaphores()).await?, texts(&["s"]));
    ensure_eq!(set(a.elections()).await?, texts(&["e"]));
    ensure_eq!(a.groups().await?, ["g"]);
    first.release().await?;
    ensure_eq!(set(a.locks()).await?, texts(&["l2"]));
    if context.info()?.topics {
        a.topic("t").publish(b"x").await?;
        ensure_eq!(set(b.topics()).await?, texts(&["t"]));
    } else {
        fails(a.topics().all().await, ErrorKind::Unsupported);
    }
    a.close().await;
    fails(a.locks().all().await, ErrorKind::Closed);
    Ok(())
}

/// More than two pages of 100.
async fn many_names_are_listed_in_pages(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let locks: Vec<_> = (0..230).map(|index| a.lock(format!("l{index}"))).collect();
    let mut guards = Vec::new();
    for some in locks.chunks(23) {
        guards.extend(futures_util::future::try_join_all(some.iter().map(|lock| lock.acquire())).await?);
    }
    let mut names = b.locks();
    let mut found = BTreeSet::new();
    while let Some(name) = names.next().await {
        ensure!(found.insert(name?.to_string()), "a name was listed twice");
    }
    ensure_eq!(found, (0..230).map(|index| format!("l{index}")).collect());
    Ok(())
}

async fn health_measures_a_round_trip(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    let health = soon("the health", a.health()).await;
    ensure!(health.is_healthy(), "{health:?}");
    ensure_eq!(health.state, SessionState::Connected);
    ensure!(health.remaining.is_none_or(|remaining| !remaining.is_zero()), "{health:?}");
    Ok(())
}

async fn health_of_a_closed_coordinator_is_bad(context: Context) -> Result<(), Failure> {
    let a = steady(&context, "a").await?;
    a.close().await;
    let health = soon("the health", a.health()).await;
    ensure!(!health.is_healthy(), "{health:?}");
    ensure_eq!(health.state, SessionState::Closed);
    fails(health.round_trip, ErrorKind::Closed);
    Ok(())
}
