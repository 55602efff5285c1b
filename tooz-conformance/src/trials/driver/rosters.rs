//! Listing the names of rosters and topics that are in use.

use std::collections::BTreeSet;

use tooz_core::driver::{Kind, Snapshot, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use super::enter::awkward_names;
use crate::trials::fixtures::{Client, PATIENCE, eventually, roster};
use crate::{Context, Failure, ensure, ensure_eq};

rule_trials! {
    R7:
    dead_sessions_leave_nothing;
    R24:
    a_namespace_can_be_emptied,
    rosters_lists_what_has_entries,
    rosters_lists_every_name_once,
    rosters_continues_after_a_name_that_is_gone,
    rosters_lists_a_crowded_roster_once,
    rosters_forgets_the_entries_of_a_closed_session;
    R27:
    topics_are_listed_from_their_first_message_on;
}

fn names(names: &[&str]) -> BTreeSet<Name> {
    names.iter().map(|name| Name::new(name).expect("trials use valid names")).collect()
}

fn topics(client: &Client) -> &dyn Topics {
    client.topics().expect("expected: topics, because the driver reports them")
}

/// All names in the order of the driver, read in pages of `limit`.
async fn listed(client: &Client, kind: Kind, limit: usize) -> Result<Vec<Name>> {
    let mut all: Vec<Name> = Vec::new();
    loop {
        let page = client.rosters(kind, all.last(), limit).await?;
        assert!(page.len() <= limit, "expected: a page of at most {limit} names\nactual: {page:?}");
        let is_last = page.len() < limit;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

async fn set_of(client: &Client, kind: Kind) -> Result<BTreeSet<Name>> {
    Ok(listed(client, kind, 1000).await?.into_iter().collect())
}

/// Nothing of a crashed client stays, whatever it held, once other clients use the namespace.
async fn dead_sessions_leave_nothing(context: Context) -> Result<(), Failure> {
    for index in 0..10 {
        let dead = Client::open_without_renewal(&context, "dead").await?;
        for kind in Kind::ALL {
            dead.hold(&roster(kind, format!("roster {index}"))).await?;
        }
    }
    let nothing_is_left = async || {
        // A client that opens a session cleans up, at the latest.
        let client = Client::open(&context, "a").await.map_err(|failure| unexpected(&failure))?;
        for kind in Kind::ALL {
            if !client.rosters(kind, None, 1).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(eventually("nothing is left of dead sessions", PATIENCE * 3, nothing_is_left).await?)
}

fn unexpected(failure: &Failure) -> Error {
    Error::new(ErrorKind::Unexpected, failure.to_string())
}

async fn a_namespace_can_be_emptied(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    for kind in Kind::ALL {
        let roster = roster(kind, "r");
        a.declare(&roster).await?;
        let (held, waiting) = (a.hold(&roster).await?, b.queue(&roster).await?);
        ensure!(a.leave(&roster, &held).await? && b.leave(&roster, &waiting).await?);
        a.retract(&roster).await?;
    }
    for kind in Kind::ALL {
        for client in [&a, &b] {
            let (used, declared) = (client.rosters(kind, None, 10).await?, client.declared(kind).await?);
            ensure!(used.is_empty() && declared.is_empty(), "{used:?} are in use and {declared:?} are declared");
        }
        ensure_eq!(b.snapshot(&roster(kind, "r"), None).await?, Snapshot::default(), "a roster without anything");
    }
    Ok(())
}

async fn rosters_lists_what_has_entries(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    ensure!(b.rosters(Kind::Lock, None, 10).await?.is_empty());
    let mut tickets = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        tickets.push((roster(Kind::Lock, name), a.hold(&roster(Kind::Lock, name)).await?));
    }
    let waiting = b.queue(&tickets[0].0).await?;
    a.hold(&roster(Kind::Election, "of another kind")).await?;
    a.declare(&roster(Kind::Lock, "declared, but without entries")).await?;
    let all = names(&["one", "two", "three", "four", "five"]);
    for client in [&a, &b] {
        for limit in [1, 2, 5, 1000] {
            let listed = listed(client, Kind::Lock, limit).await?;
            ensure_eq!((listed.len(), listed.into_iter().collect::<BTreeSet<_>>()), (5, all.clone()), "limit {limit}");
        }
    }
    ensure_eq!(set_of(&b, Kind::Election).await?, names(&["of another kind"]));
    ensure!(set_of(&b, Kind::Semaphore).await?.is_empty());
    // The client that waits for "one" remains there.
    ensure!(a.leave(&tickets[0].0, &tickets[0].1).await?);
    ensure!(a.leave(&tickets[1].0, &tickets[1].1).await?);
    a.withdraw(&tickets[2].0, tickets[2].1.nonce).await?;
    ensure!(b.evict(&tickets[3].0, tickets[3].1.seq).await?);
    ensure_eq!(set_of(&b, Kind::Lock).await?, names(&["one", "five"]));
    ensure!(b.leave(&tickets[0].0, &waiting).await?);
    ensure_eq!(set_of(&a, Kind::Lock).await?, names(&["five"]));
    Ok(())
}

async fn rosters_lists_every_name_once(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let expected: BTreeSet<_> = awkward_names().into_iter().collect();
    for name in &expected {
        a.hold(&roster(Kind::Lock, name)).await?;
    }
    let whole = listed(&b, Kind::Lock, 1000).await?;
    ensure_eq!(whole.len(), expected.len());
    ensure_eq!(whole.iter().map(|name| name.as_bytes().to_vec()).collect::<BTreeSet<_>>(), expected);
    for limit in [1, 3] {
        ensure_eq!(listed(&a, Kind::Lock, limit).await?, whole, "pages of {limit} names have another order");
    }
    Ok(())
}

async fn rosters_continues_after_a_name_that_is_gone(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    for index in 0..6 {
        a.hold(&roster(Kind::Semaphore, format!("s{index}"))).await?;
    }
    let whole = listed(&b, Kind::Semaphore, 1000).await?;
    let page = b.rosters(Kind::Semaphore, None, 2).await?;
    ensure_eq!(page, whole[..2]);
    for name in &page {
        let roster = roster(Kind::Semaphore, name);
        let seq = a.seqs(&roster).await?[0];
        ensure!(b.evict(&roster, seq).await?);
    }
    ensure_eq!(b.rosters(Kind::Semaphore, page.last(), 1000).await?, whole[2..]);
    Ok(())
}

async fn rosters_lists_a_crowded_roster_once(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    a.hold(&roster(Kind::Lock, "before")).await?;
    let crowded = roster(Kind::Lock, "crowded");
    a.hold(&crowded).await?;
    for _ in 0..20 {
        b.queue(&crowded).await?;
    }
    a.hold(&roster(Kind::Lock, "last")).await?;
    for limit in [1, 2, 4] {
        let listed = listed(&b, Kind::Lock, limit).await?;
        ensure_eq!(listed.len(), 3, "{listed:?}");
    }
    Ok(())
}

async fn rosters_forgets_the_entries_of_a_closed_session(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    a.hold(&roster(Kind::Lock, "closed")).await?;
    b.hold(&roster(Kind::Lock, "kept")).await?;
    a.close().await?;
    let is_gone = async || Ok(set_of(&b, Kind::Lock).await? == names(&["kept"]));
    eventually("the roster of a closed session is not listed", crate::trials::fixtures::PATIENCE, is_gone).await?;
    Ok(())
}

async fn topics_are_listed_from_their_first_message_on(context: Context) -> Result<(), Failure> {
    if !context.info()?.topics {
        return Err(Failure::ignored("the driver says that it has no topics"));
    }
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let reader = topics(&b);
    ensure!(reader.names(None, 10).await?.is_empty());
    // Reading does not create a topic.
    reader.bounds(&Name::new("unused")?).await?;
    let expected: BTreeSet<_> = awkward_names().into_iter().collect();
    for name in &expected {
        let name = Name::new(name)?;
        for _ in 0..2 {
            topics(&a).publish(&name, b"x", 1).await?;
        }
    }
    let whole = reader.names(None, 1000).await?;
    ensure_eq!(whole.len(), expected.len());
    ensure_eq!(whole.iter().map(|name| name.as_bytes().to_vec()).collect::<BTreeSet<_>>(), expected);
    ensure_eq!(reader.names(None, 2).await?, whole[..2]);
    ensure_eq!(reader.names(Some(&whole[1]), 1000).await?, whole[2..]);
    Ok(())
}
