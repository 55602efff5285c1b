//! `enter`: entering a roster in every mode, and what snapshots show of it.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use tooz_core::driver::{IfBlocked, Kind, Mode, NewEntry, Seq, Standing, Ticket};

use crate::trials::fixtures::{Client, admitted, entry, exclusive, group, lock, roster, shared, waiting};
use crate::{Context, Failure, ensure, ensure_eq};

rule_trials! {
    R2:
    entries_keep_their_bytes,
    rosters_have_any_name,
    kinds_are_separate,
    namespaces_are_separate;
    R12:
    enter_admits_exactly_the_limit,
    enter_that_withdraws_leaves_nothing,
    seq_rises_after_the_roster_was_empty,
    shared_entries_are_admitted_together,
    a_waiting_writer_holds_back_later_readers,
    a_semaphore_admits_its_limit,
    members_never_wait;
    R13:
    enter_is_idempotent_by_nonce,
    enter_is_idempotent_while_it_runs_twice,
    a_repeated_enter_returns_the_present_standing;
}

async fn enter_admits_exactly_the_limit(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    for limit in [1, 5] {
        let roster = roster(Kind::Semaphore, format!("with {limit}"));
        let enters = (0..64).map(|index| {
            let client = if index % 2 == 0 { &a } else { &b };
            client.enter(&roster, entry(Mode::Exclusive, limit))
        });
        let mut standings = try_join_all(enters).await?;
        standings.sort_by_key(|standing| ticket_of(standing).seq);
        let seqs: BTreeSet<_> = standings.iter().map(|standing| ticket_of(standing).seq).collect();
        ensure_eq!(seqs.len(), 64, "two entries have the same seq");
        let (first, rest) = standings.split_at(limit as usize);
        let mut before = Seq(0);
        for standing in first {
            before = admitted(*standing).seq;
        }
        for standing in rest {
            let (ticket, blocked_by) = waiting(*standing);
            ensure_eq!(blocked_by, before, "{} must be blocked by the entry before it", ticket.seq);
            before = ticket.seq;
        }
        ensure_eq!(b.seqs(&roster).await?, Vec::from_iter(seqs));
    }
    Ok(())
}

fn ticket_of(standing: &Standing) -> Ticket {
    match standing {
        Standing::Admitted(ticket) | Standing::Waiting { ticket, .. } => *ticket,
        other => panic!("expected: the entry waits\nactual: {other:?}"),
    }
}

async fn enter_is_idempotent_by_nonce(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    let first = NewEntry { value: b"first", ..exclusive() };
    let standing = a.enter(&roster, first).await?;
    admitted(standing);
    ensure_eq!(a.enter(&roster, NewEntry { value: b"second", ..first }).await?, standing);
    ensure_eq!(a.enter(&roster, NewEntry { if_blocked: IfBlocked::Withdraw, ..first }).await?, standing);
    let entries = a.entries(&roster).await?;
    ensure_eq!(entries.len(), 1, "the repeated request has added an entry: {entries:?}");
    ensure_eq!(entries[0].value, b"first", "the repeated request has changed the value");
    Ok(())
}

async fn enter_is_idempotent_while_it_runs_twice(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    for _ in 0..10 {
        let new = exclusive();
        let standings = try_join_all((0..8).map(|_| a.enter(&roster, new))).await?;
        let ticket = admitted(standings[0]);
        ensure!(standings.iter().all(|standing| *standing == standings[0]), "{standings:?}");
        ensure_eq!(a.seqs(&roster).await?, [ticket.seq]);
        ensure!(a.leave(&roster, &ticket).await?);
    }
    Ok(())
}

async fn a_repeated_enter_returns_the_present_standing(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let new = exclusive();
    let (ticket, blocked_by) = waiting(b.enter(&roster, new).await?);
    ensure_eq!(blocked_by, held.seq);
    ensure_eq!(waiting(b.enter(&roster, new).await?), (ticket, blocked_by));
    ensure!(a.leave(&roster, &held).await?);
    ensure_eq!(admitted(b.enter(&roster, new).await?), ticket);
    Ok(())
}

async fn enter_that_withdraws_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let attempt = || NewEntry { if_blocked: IfBlocked::Withdraw, ..exclusive() };
    let held = admitted(a.enter(&roster, attempt()).await?);
    for _ in 0..3 {
        ensure_eq!(b.enter(&roster, attempt()).await?, Standing::Withdrawn { blocked_by: held.seq });
        ensure_eq!(b.seqs(&roster).await?, [held.seq]);
    }
    ensure!(a.leave(&roster, &held).await?);
    let next = admitted(b.enter(&roster, attempt()).await?);
    ensure!(next.seq > held.seq);
    Ok(())
}

async fn seq_rises_after_the_roster_was_empty(context: Context) -> Result<(), Failure> {
    let roster = lock();
    let mut last = Seq(0);
    for round in 0..6 {
        let client = Client::open(&context, "a").await?;
        for _ in 0..2 {
            let ticket = client.hold(&roster).await?;
            ensure!(ticket.seq > last, "round {round}: seq {} does not rise above {last}", ticket.seq);
            last = ticket.seq;
            ensure!(client.leave(&roster, &ticket).await?);
            ensure!(client.seqs(&roster).await?.is_empty());
        }
        // The same, while a session ends with an entry in the roster.
        last = client.hold(&roster).await?.seq;
        client.close().await?;
    }
    Ok(())
}

async fn shared_entries_are_admitted_together(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let first = admitted(a.enter(&roster, shared()).await?);
    let second = admitted(b.enter(&roster, shared()).await?);
    let (_, blocked_by) = waiting(b.enter(&roster, exclusive()).await?);
    ensure_eq!(blocked_by, second.seq);
    ensure!(second.seq > first.seq);
    Ok(())
}

async fn a_waiting_writer_holds_back_later_readers(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let reader = admitted(a.enter(&roster, shared()).await?);
    let (writer, _) = waiting(b.enter(&roster, exclusive()).await?);
    let late = shared();
    let (late_reader, blocked_by) = waiting(a.enter(&roster, late).await?);
    ensure_eq!(blocked_by, writer.seq);
    ensure!(b.leave(&roster, &writer).await?);
    ensure_eq!(admitted(a.enter(&roster, late).await?), late_reader);
    ensure_eq!(a.seqs(&roster).await?, [reader.seq, late_reader.seq]);
    Ok(())
}

async fn a_semaphore_admits_its_limit(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, roster(Kind::Semaphore, "three"));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(admitted(a.enter(&roster, entry(Mode::Exclusive, 3)).await?));
    }
    let fourth = entry(Mode::Exclusive, 3);
    let (ticket, blocked_by) = waiting(a.enter(&roster, fourth).await?);
    ensure_eq!(blocked_by, held[2].seq, "blocked_by must be the nearest entry before it");
    // The entry that leaves is not the one in `blocked_by`.
    ensure!(a.leave(&roster, &held[0]).await?);
    ensure_eq!(admitted(a.enter(&roster, fourth).await?), ticket);
    waiting(a.enter(&roster, entry(Mode::Exclusive, 3)).await?);
    Ok(())
}

async fn members_never_wait(context: Context) -> Result<(), Failure> {
    let (a, group) = (Client::open(&context, "a").await?, group());
    let standings = try_join_all((0..20).map(|_| a.enter(&group, entry(Mode::Member, 1)))).await?;
    let seqs: BTreeSet<_> = standings.into_iter().map(|standing| admitted(standing).seq).collect();
    ensure_eq!(a.seqs(&group).await?, Vec::from_iter(seqs));
    Ok(())
}

async fn entries_keep_their_bytes(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; 64 * 1024];
    let mut expected = Vec::new();
    for (value, mode, limit) in
        [(&b""[..], Mode::Exclusive, 7), (&every_byte[..], Mode::Shared, 1), (&large[..], Mode::Member, u32::MAX)]
    {
        let new = NewEntry { value, ..entry(mode, limit) };
        let ticket = ticket_of(&a.enter(&roster, new).await?);
        ensure_eq!((ticket.nonce, ticket.mode, ticket.limit), (new.nonce, new.mode, new.limit));
        expected.push((ticket, value.to_vec()));
    }
    let entries = b.entries(&roster).await?;
    ensure!(entries.is_sorted_by_key(|entry| entry.seq));
    ensure!(entries.iter().all(|entry| entry.key.is_none()), "an entry has a key that it was not given: {entries:?}");
    let seen = entries.into_iter().map(|entry| {
        let (seq, nonce, mode, limit) = (entry.seq, entry.nonce, entry.mode, entry.limit);
        (Ticket { seq, nonce, mode, limit }, entry.value)
    });
    ensure!(seen.eq(expected), "the entries were read differently from what was written");
    Ok(())
}

/// Names that a layout may confuse or cannot store unchanged.
pub(crate) fn awkward_names() -> Vec<Vec<u8>> {
    let long = |last: u8| [&[b'n'; 511][..], &[last]].concat();
    let texts = [
        "a", "a/", "a/b", "/a", "a//b", ".", "..", "a b", "A", "%61", "a%2Fb", "a:b", "{a}", "*", "ü", "日本", "\\",
        "'\"",
    ];
    let bytes: [&[u8]; 5] = [b"\0", b"a\0", b"a\0b", b"\xff", b"\xff\xfe/\x80"];
    let texts = texts.iter().map(|text| text.as_bytes().to_vec());
    texts.chain(bytes.iter().map(|bytes| bytes.to_vec())).chain([long(b'1'), long(b'2'), vec![0xff; 512]]).collect()
}

async fn rosters_have_any_name(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let mut held = Vec::new();
    for name in awkward_names() {
        let roster = roster(Kind::Lock, name);
        // `hold` fails if the driver confuses the name with an earlier one.
        held.push((a.hold(&roster).await?, roster));
    }
    for (ticket, roster) in &held {
        ensure_eq!(b.seqs(roster).await?, [ticket.seq], "{roster}");
    }
    for (ticket, roster) in &held {
        ensure!(a.leave(roster, ticket).await?, "{roster}");
    }
    Ok(())
}

async fn kinds_are_separate(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, "a").await?;
    let mut held = Vec::new();
    for kind in Kind::ALL {
        held.push((roster(kind, "same"), a.hold(&roster(kind, "same")).await?));
    }
    for (roster, ticket) in held {
        ensure_eq!(a.seqs(&roster).await?, [ticket.seq], "{roster}");
    }
    Ok(())
}

async fn namespaces_are_separate(context: Context) -> Result<(), Failure> {
    let (own, roster) = (context.namespace(), lock());
    // A layout that only joins its parts would confuse these names.
    let namespaces = [own.to_owned(), format!("{own}/lock"), format!("{own}/"), format!("{own}2"), format!("{own}:ü*")];
    let mut clients = Vec::new();
    for namespace in &namespaces {
        let client = Client::open_in(&context, namespace, "a").await?;
        let ticket = client.hold(&roster).await?;
        ensure!(client.declare(&group()).await?, "{namespace}");
        clients.push((client, ticket));
    }
    for (client, ticket) in &clients {
        ensure_eq!(client.seqs(&roster).await?, [ticket.seq]);
        ensure_eq!(client.declared(Kind::Group).await?, [group().name]);
    }
    clients[0].0.close().await?;
    ensure_eq!(clients[1].0.seqs(&roster).await?, [clients[1].1.seq], "closing a session emptied another namespace");
    Ok(())
}
