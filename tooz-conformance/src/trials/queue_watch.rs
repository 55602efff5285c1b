//! Watching the queue of a lock, semaphore or election.

use tooz_core::QueueWatch;

use super::coordinators::{ids, pair};
use super::fixtures::{ends, soon};
use crate::{Context, Failure, ensure_eq};

trials! { "queue_watch"
    NOTHING:
    it_begins_with_the_present_queue,
    it_reports_holders_and_waiters,
    semaphores_and_elections_are_watched_too;
}

/// Waits until the watch has returned this queue. Changes that follow each other closely may appear as one.
async fn reports(watch: &mut QueueWatch, holders: &[&str], waiters: &[&str]) -> Result<(), Failure> {
    let expected: (Vec<String>, Vec<String>) =
        (holders.iter().map(ToString::to_string).collect(), waiters.iter().map(ToString::to_string).collect());
    while ids(&soon("a change of the queue", watch.next()).await?) != expected {}
    Ok(())
}

async fn it_begins_with_the_present_queue(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut unused = b.lock("unused").watch();
    ensure_eq!(ids(&soon("the present queue", unused.next()).await?), (vec![], vec![]));
    let _guard = a.lock("l").acquire().await?;
    let mut watch = b.lock("l").watch();
    ensure_eq!(ids(&soon("the present queue", watch.next()).await?), (vec!["a".to_owned()], vec![]));
    Ok(())
}

async fn it_reports_holders_and_waiters(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let mut watch = b.lock("l").watch();
    reports(&mut watch, &[], &[]).await?;
    let guard = a.lock("l").acquire().await?;
    reports(&mut watch, &["a"], &[]).await?;
    let lock = b.lock("l");
    let waiting = tokio::spawn(async move { lock.acquire().await });
    reports(&mut watch, &["a"], &["b"]).await?;
    guard.release().await?;
    reports(&mut watch, &["b"], &[]).await?;
    ends("the wait", waiting).await?.release().await?;
    reports(&mut watch, &[], &[]).await
}

async fn semaphores_and_elections_are_watched_too(context: Context) -> Result<(), Failure> {
    let (a, b) = pair(&context).await?;
    let (mut semaphore, mut election) = (b.semaphore("s", 1).watch(), b.election("e").watch());
    reports(&mut semaphore, &[], &[]).await?;
    reports(&mut election, &[], &[]).await?;
    let (permit, leadership) = (a.semaphore("s", 1).acquire().await?, a.election("e").campaign().await?);
    reports(&mut semaphore, &["a"], &[]).await?;
    reports(&mut election, &["a"], &[]).await?;
    permit.release().await?;
    leadership.resign().await?;
    reports(&mut semaphore, &[], &[]).await?;
    reports(&mut election, &[], &[]).await
}
