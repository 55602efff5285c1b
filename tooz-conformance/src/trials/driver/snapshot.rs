//! `snapshot`: reading a roster, and waiting for changes of its state.

use std::time::Duration;

use tokio::time::sleep;
use tooz_core::driver::{IfTaken, Kind, Mode, Roster, Snapshot, Version};
use tooz_core::{Error, Result};

use crate::trials::fixtures::{
    Client, admitted, ends, entry, group, lock, member, not_now, poll_then_drop, roster, shared, soon,
};
use crate::{Context, Failure, ensure, ensure_eq, ensure_ne};

rule_trials! {
    R4:
    snapshot_goes_on_after_it_was_dropped;
    R18:
    snapshot_returns_the_present_entries,
    snapshot_shows_mode_and_limit,
    snapshot_shows_unique_keys,
    snapshot_has_the_same_version_without_a_change,
    snapshot_waits_until_something_changes,
    snapshot_reports_every_kind_of_change,
    snapshot_misses_nothing_between_calls,
    snapshot_with_a_version_never_seen_returns_at_once,
    snapshot_is_not_woken_by_other_rosters,
    snapshots_of_many_watchers_agree,
    watchers_with_different_versions_all_wake,
    a_thousand_members_fit_into_a_snapshot;
}

async fn snapshot_returns_the_present_entries(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let empty = a.snapshot(&group, None).await?;
    ensure!(empty.entries.is_empty() && !empty.declared, "{empty:?}");
    let mut seqs = Vec::new();
    for id in [&b"z"[..], b"a", b"m"] {
        seqs.push(admitted(b.enter(&group, member(id, IfTaken::Refuse)).await?).seq);
    }
    let (first, second) = (a.snapshot(&group, None).await?, b.snapshot(&group, None).await?);
    ensure_eq!(first.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), seqs);
    ensure_eq!(first.entries, second.entries);
    Ok(())
}

async fn snapshot_shows_mode_and_limit(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let wanted = [(Mode::Shared, 3), (Mode::Exclusive, 7), (Mode::Member, 1)];
    for (mode, limit) in wanted {
        a.enter(&roster, entry(mode, limit)).await?;
    }
    let shown = b.snapshot(&roster, None).await?.entries;
    let shown: Vec<_> = shown.iter().map(|entry| (entry.mode, entry.limit.get())).collect();
    ensure_eq!(shown, wanted, "the modes and limits with which the entries entered");
    Ok(())
}

async fn snapshot_shows_unique_keys(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let bytes: Vec<u8> = (0..=255).collect();
    a.enter(&group, member(b"m", IfTaken::Refuse)).await?;
    a.enter(&group, member(&bytes, IfTaken::TakeOver)).await?;
    a.enter(&group, entry(Mode::Member, 1)).await?;
    let keys: Vec<_> = b.snapshot(&group, None).await?.entries.into_iter().map(|entry| entry.key).collect();
    ensure_eq!(keys, [Some(b"m".to_vec()), Some(bytes), None], "the unique keys with which the entries entered");
    Ok(())
}

async fn snapshot_has_the_same_version_without_a_change(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    a.hold(&roster).await?;
    let versions = [a.snapshot(&roster, None).await?.version, a.snapshot(&roster, None).await?.version];
    ensure_eq!(versions[0], versions[1], "nothing has changed between the snapshots");
    Ok(())
}

async fn snapshot_waits_until_something_changes(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for used in [false, true] {
        if used {
            a.hold(&roster).await?;
        }
        let seen = b.snapshot(&roster, None).await?.version;
        not_now("a snapshot although nothing has changed", b.snapshot(&roster, Some(seen))).await;
    }
    Ok(())
}

/// Runs `change` while a snapshot waits, and returns the snapshot after it.
async fn seen_after<F: Future<Output = Result<()>>>(
    watcher: &Client,
    roster: &Roster,
    what: &str,
    change: F,
) -> Result<Snapshot, Failure> {
    let before = watcher.snapshot(roster, None).await?;
    let (session, watched) = (watcher.session(), roster.clone());
    let watch = tokio::spawn(async move { session.snapshot(&watched, Some(before.version)).await });
    sleep(Duration::from_millis(40)).await;
    change.await?;
    let after = ends(what, watch).await?;
    ensure_ne!(after.version, before.version, "{what}");
    Ok(after)
}

async fn snapshot_reports_every_kind_of_change(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let c = Client::open(&context, "c").await?;
    let after = seen_after(&b, &group, "declare", async { a.declare(&group).await.map(drop) }).await?;
    ensure!(after.declared);
    let enter = async { a.enter(&group, member(b"m", IfTaken::Refuse)).await.map(drop) };
    let after = seen_after(&b, &group, "enter", enter).await?;
    ensure_eq!(after.entries.len(), 1);
    let ticket = admitted(a.enter(&group, entry(Mode::Member, 1)).await?);
    let after = seen_after(&b, &group, "replace", a.replace(&group, &ticket, b"new")).await?;
    ensure_eq!(after.entries[1].value, b"new");
    let after = seen_after(&b, &group, "leave", async { a.leave(&group, &ticket).await.map(drop) }).await?;
    ensure_eq!(after.entries.len(), 1);
    let take_over = async { c.enter(&group, member(b"m", IfTaken::TakeOver)).await.map(drop) };
    let after = seen_after(&b, &group, "take over", take_over).await?;
    ensure_eq!(after.entries.len(), 1);
    let ticket = admitted(a.enter(&group, entry(Mode::Member, 1)).await?);
    let after = seen_after(&b, &group, "withdraw", a.withdraw(&group, ticket.nonce)).await?;
    ensure_eq!(after.entries.len(), 1);
    let ticket = admitted(a.enter(&group, entry(Mode::Member, 1)).await?);
    let after = seen_after(&b, &group, "evict", async { c.evict(&group, ticket.seq).await.map(drop) }).await?;
    ensure_eq!(after.entries.len(), 1);
    let after = seen_after(&b, &group, "close", c.close()).await?;
    ensure!(after.entries.is_empty());
    let after = seen_after(&b, &group, "retract", a.retract(&group)).await?;
    ensure!(!after.declared);
    Ok(())
}

async fn snapshot_misses_nothing_between_calls(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for _ in 0..10 {
        let empty = b.snapshot(&roster, None).await?;
        let ticket = a.hold(&roster).await?;
        // The change has happened, and no other follows.
        let held = soon("a snapshot after a change", b.snapshot(&roster, Some(empty.version))).await?;
        ensure_eq!(held.entries.first().map(|entry| entry.seq), Some(ticket.seq));
        a.replace(&roster, &ticket, b"new").await?;
        let replaced = soon("a snapshot after a change", b.snapshot(&roster, Some(held.version))).await?;
        ensure_eq!(replaced.entries[0].value, b"new");
        ensure!(a.leave(&roster, &ticket).await?);
        let left = soon("a snapshot after a change", b.snapshot(&roster, Some(replaced.version))).await?;
        ensure!(left.entries.is_empty());
    }
    Ok(())
}

async fn snapshot_goes_on_after_it_was_dropped(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for polls in 0..10 {
        let before = b.snapshot(&roster, None).await?.version;
        let (watched, change) = (b.snapshot(&roster, Some(before)), a.enter(&roster, shared()));
        // The call is dropped just before, during and just after the arrival of the change.
        let dropped = tokio::time::timeout(Duration::from_millis(20), poll_then_drop(1 + polls % 3, watched));
        let (_, entered) = tokio::join!(dropped, change);
        let ticket = admitted(entered?);
        let after = soon("a snapshot, asked for once more", b.snapshot(&roster, Some(before))).await?;
        ensure!(after.entries.iter().any(|entry| entry.seq == ticket.seq), "{after:?} lacks {}", ticket.seq);
    }
    Ok(())
}

async fn snapshot_with_a_version_never_seen_returns_at_once(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    let ticket = a.hold(&roster).await?;
    let seen = a.snapshot(&roster, None).await?.version;
    for version in [Version(seen.0.wrapping_add(1)), Version(seen.0.wrapping_sub(1)), Version(u64::MAX)] {
        let snapshot = soon("a snapshot with another version", a.snapshot(&roster, Some(version))).await?;
        ensure_eq!(snapshot.entries[0].seq, ticket.seq);
    }
    Ok(())
}

async fn snapshot_is_not_woken_by_other_rosters(context: Context) -> Result<(), Failure> {
    let (a, b, watched) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    a.hold(&watched).await?;
    let seen = b.snapshot(&watched, None).await?.version;
    let (session, target) = (b.session(), watched.clone());
    let watch = tokio::spawn(async move { session.snapshot(&target, Some(seen)).await });
    sleep(Duration::from_millis(40)).await;
    for other in [roster(Kind::Semaphore, &watched.name), roster(Kind::Lock, "lock2"), roster(Kind::Lock, "lock/")] {
        let ticket = a.hold(&other).await?;
        a.declare(&other).await?;
        ensure!(a.leave(&other, &ticket).await?);
    }
    sleep(Duration::from_millis(100)).await;
    ensure!(!watch.is_finished(), "a change of another roster was reported");
    watch.abort();
    Ok(())
}

async fn snapshots_of_many_watchers_agree(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let start = a.snapshot(&roster, None).await?.version;
    let watches: Vec<_> = (0..20)
        .map(|index| {
            let (session, roster) = (if index % 2 == 0 { a.session() } else { b.session() }, roster.clone());
            tokio::spawn(async move {
                let mut seen = start;
                loop {
                    let snapshot = session.snapshot(&roster, Some(seen)).await?;
                    if snapshot.entries.len() == 10 {
                        return Result::<_, Error>::Ok(snapshot);
                    }
                    seen = snapshot.version;
                }
            })
        })
        .collect();
    for _ in 0..10 {
        a.enter(&roster, shared()).await?;
    }
    let last = b.snapshot(&roster, None).await?;
    for watch in watches {
        ensure_eq!(ends("what a watcher sees at last", watch).await?.entries, last.entries);
    }
    Ok(())
}

/// A watcher with a version that the others do not have must not cost the others their wake-up.
async fn watchers_with_different_versions_all_wake(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for _ in 0..5 {
        let now = a.snapshot(&roster, None).await?.version;
        let watch = |seen| {
            let (session, roster) = (a.session(), roster.clone());
            tokio::spawn(async move { session.snapshot(&roster, Some(seen)).await })
        };
        let first = watch(now);
        sleep(Duration::from_millis(20)).await;
        // No client has ever seen this version, so the snapshot returns at once.
        let other = ends("the snapshot of a watcher with another version", watch(Version(!now.0))).await?;
        ensure_eq!(other.version, now);
        let second = watch(now);
        sleep(Duration::from_millis(20)).await;
        ensure!(!first.is_finished() && !second.is_finished(), "a watcher returned without a change");
        let ticket = b.hold(&roster).await?;
        for (watcher, watch) in [("the first", first), ("the second", second)] {
            ensure_eq!(ends(watcher, watch).await?.entries.len(), 1, "{watcher} watcher");
        }
        ensure!(b.leave(&roster, &ticket).await?);
    }
    Ok(())
}

async fn a_thousand_members_fit_into_a_snapshot(context: Context) -> Result<(), Failure> {
    let (a, b, group) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    for batch in 0..20u16 {
        let ids: Vec<_> = (0..50).map(|index| format!("member-{}", batch * 50 + index)).collect();
        let enters = ids.iter().map(|id| a.enter(&group, member(id.as_bytes(), IfTaken::Refuse)));
        futures_util::future::try_join_all(enters).await?;
    }
    let snapshot = b.snapshot(&group, None).await?;
    ensure_eq!(snapshot.entries.len(), 1_000);
    ensure!(snapshot.entries.is_sorted_by(|one, next| one.seq < next.seq));
    let (watched, closed) = tokio::join!(soon("the end of all", empties(&b, &group)), a.close());
    closed?;
    Ok(watched?)
}

/// Watches until the roster is empty.
async fn empties(watcher: &Client, roster: &Roster) -> Result<()> {
    let mut seen = watcher.snapshot(roster, None).await?;
    while !seen.entries.is_empty() {
        seen = watcher.snapshot(roster, Some(seen.version)).await?;
    }
    Ok(())
}
