//! Sessions, and what ends with them.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;
use tooz_core::driver::{Kind, Offset, Roster, Session, Ticket};
use tooz_core::{ErrorKind, Name, Result};

use crate::harness::joined;
use crate::trials::fixtures::{
    A_WHILE, Client, PATIENCE, SHORT_TTL, admitted, ends, eventually, exclusive, fails, group, lock, roster, soon,
};
use crate::{Context, Failure, ensure, ensure_eq, fail};

rule_trials! {
    R1:
    the_granted_ttl_is_reported,
    a_session_lives_for_its_ttl,
    many_sessions_fit;
    R3:
    sessions_share_nothing;
    R4:
    a_dropped_session_ends_by_itself;
    R6:
    close_prevents_an_enter_under_way,
    an_expired_session_never_adds_an_entry;
    R7:
    a_session_that_is_not_renewed_expires;
    R9:
    renew_keeps_the_session_alive;
    R10:
    close_removes_every_entry,
    close_is_idempotent,
    close_ends_every_verb,
    close_ends_what_waits;
}

async fn the_granted_ttl_is_reported(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open_without_renewal(&context, "b").await?);
    match (a.ttl(), b.ttl()) {
        (None, None) => {}
        (Some(long), Some(short)) => ensure!(short <= long && !short.is_zero(), "{short:?}, {long:?}"),
        other => panic!("expected: all sessions of a driver have a TTL, or none\nactual: {other:?}"),
    }
    ensure_eq!(a.ttl(), a.ttl());
    Ok(())
}

/// Core relies on the TTL that the driver reports for its deadline, so a session must not end before.
async fn a_session_lives_for_its_ttl(context: Context) -> Result<(), Failure> {
    let (b, roster, opened) = (Client::open(&context, "b").await?, lock(), Instant::now());
    let a = Client::open_without_renewal(&context, "a").await?;
    let Some(ttl) = a.ttl() else {
        return Err(Failure::ignored("the life of a session does not depend on time"));
    };
    let ticket = a.hold(&roster).await?;
    loop {
        let entries = b.seqs(&roster).await?;
        // The clocks of client and server may differ a little in their speed.
        if opened.elapsed() > ttl * 95 / 100 {
            return Ok(());
        }
        ensure_eq!(entries, [ticket.seq], "the session has ended after {:?} of its TTL {ttl:?}", opened.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
}

async fn sessions_share_nothing(context: Context) -> Result<(), Failure> {
    // The same member name twice: sessions are not identified by their member.
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "a").await?, lock());
    let (held, next) = (a.hold(&roster).await?, b.queue(&roster).await?);
    let turn = b.wait_in_background(&roster, next);
    a.close().await?;
    ends("the turn of the other session", turn).await?;
    b.renew().await?;
    ensure_eq!(b.seqs(&roster).await?, [next.seq]);
    ensure!(next.seq > held.seq);
    Ok(())
}

async fn close_removes_every_entry(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    let rosters: Vec<_> = (0..40).map(|index| roster(Kind::ALL[index % 4], format!("roster {index}"))).collect();
    for roster in &rosters {
        a.hold(roster).await?;
        a.queue(roster).await?;
    }
    a.close().await?;
    for roster in &rosters {
        ensure!(b.seqs(roster).await?.is_empty(), "{roster} still has entries");
        b.hold(roster).await?;
    }
    Ok(())
}

async fn close_is_idempotent(context: Context) -> Result<(), Failure> {
    let a = Client::open(&context, "a").await?;
    a.hold(&lock()).await?;
    try_join_all((0..4).map(|_| a.close())).await?;
    a.close().await?;
    Client::open(&context, "a").await?.hold(&lock()).await?;
    Ok(())
}

async fn close_ends_every_verb(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    let ticket = a.hold(&roster).await?;
    a.close().await?;
    every_verb_on_own_entries_fails(&*a, &roster, &ticket).await;
    fails(soon("evict", a.evict(&roster, ticket.seq)).await, ErrorKind::SessionLost);
    fails(soon("snapshot", a.snapshot(&roster, None)).await, ErrorKind::SessionLost);
    fails(soon("await_turn", a.await_turn(&roster, &ticket)).await, ErrorKind::SessionLost);
    fails(soon("declare", a.declare(&group())).await, ErrorKind::SessionLost);
    fails(soon("retract", a.retract(&group())).await, ErrorKind::SessionLost);
    fails(soon("declared", a.declared(Kind::Group)).await, ErrorKind::SessionLost);
    if let Some(topics) = a.topics() {
        let topic = Name::new("topic")?;
        fails(soon("publish", topics.publish(&topic, b"x", 10)).await, ErrorKind::SessionLost);
        fails(soon("read", topics.read(&topic, Offset(0), 1)).await, ErrorKind::SessionLost);
        fails(soon("bounds", topics.bounds(&topic)).await, ErrorKind::SessionLost);
    }
    Ok(())
}

/// Checks that the verbs that need own entries fail on a session that is over.
async fn every_verb_on_own_entries_fails(session: &dyn Session, roster: &Roster, ticket: &Ticket) {
    fails(soon("enter", session.enter(roster, exclusive())).await, ErrorKind::SessionLost);
    fails(soon("leave", session.leave(roster, ticket)).await, ErrorKind::SessionLost);
    fails(soon("replace", session.replace(roster, ticket, b"x")).await, ErrorKind::SessionLost);
    fails(soon("withdraw", session.withdraw(roster, ticket.nonce)).await, ErrorKind::SessionLost);
    fails(soon("renew", session.renew()).await, ErrorKind::SessionLost);
}

async fn close_prevents_an_enter_under_way(context: Context) -> Result<(), Failure> {
    let (b, roster) = (Client::open(&context, "b").await?, lock());
    for round in 0..8 {
        let a = Client::open(&context, "a").await?;
        let enters: Vec<_> = (0..8)
            .map(|_| {
                let (session, roster) = (a.session(), roster.clone());
                tokio::spawn(async move { session.enter(&roster, exclusive()).await })
            })
            .collect();
        sleep(Duration::from_micros(round * 200)).await;
        a.close().await?;
        for enter in enters {
            if let Err(error) = ends("an enter that races with close", enter).await {
                ensure!(error.is_session_lost() || error.is_retryable(), "{error}");
            }
        }
        ensure!(b.seqs(&roster).await?.is_empty(), "an entry exists although its session was closed");
    }
    sleep(A_WHILE).await;
    ensure!(b.seqs(&roster).await?.is_empty(), "an entry was added after its session was closed");
    Ok(())
}

async fn close_ends_what_waits(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    b.hold(&roster).await?;
    let ticket = a.queue(&roster).await?;
    let seen = a.snapshot(&roster, None).await?.version;
    let turn = a.wait_in_background(&roster, ticket);
    let (session, watched) = (a.session(), roster.clone());
    let watch = tokio::spawn(async move { session.snapshot(&watched, Some(seen)).await });
    sleep(Duration::from_millis(60)).await;
    a.close().await?;
    let error = ends("the end of a waiter whose session was closed", turn)
        .await
        .expect_err("expected: an error, because the turn never came");
    ensure!(error.is_session_lost() || error.is_not_held(), "{error}");
    // A watcher may still receive the removal of its own entry.
    if let Err(error) = ends("the end of a watcher whose session was closed", watch).await {
        ensure!(error.is_session_lost(), "{error}");
    }
    Ok(())
}

async fn renew_keeps_the_session_alive(context: Context) -> Result<(), Failure> {
    let (a, b, roster) =
        (Client::open_without_renewal(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let ticket = a.hold(&roster).await?;
    let next = b.queue(&roster).await?;
    let turn = b.wait_in_background(&roster, next);
    let until = Instant::now() + a.ttl().unwrap_or(SHORT_TTL) * 2;
    while Instant::now() < until {
        a.renew().await?;
        sleep(Duration::from_millis(250)).await;
    }
    ensure!(!turn.is_finished(), "the next was admitted although the holder was renewed all the time");
    ensure!(a.leave(&roster, &ticket).await?);
    ends("the grant to the next waiter", turn).await?;
    Ok(())
}

/// How long the entry of a session that was not closed may exist.
fn longest_end(client: &Client) -> Duration {
    client.ttl().unwrap_or_default() + PATIENCE
}

async fn a_session_that_is_not_renewed_expires(context: Context) -> Result<(), Failure> {
    let (a, b, roster) =
        (Client::open_without_renewal(&context, "a").await?, Client::open(&context, "b").await?, lock());
    if a.ttl().is_none() {
        // Liveness does not depend on time, so the session must not end by time.
        a.hold(&roster).await?;
        sleep(SHORT_TTL + Duration::from_secs(1)).await;
        ensure_eq!(b.seqs(&roster).await?.len(), 1, "it claims not to depend on time");
        return Ok(());
    }
    let ticket = a.hold(&roster).await?;
    let seen = b.snapshot(&roster, None).await?.version;
    let next = b.queue(&roster).await?;
    let turn = b.wait_in_background(&roster, next);
    let within = longest_end(&a);
    match tokio::time::timeout(within, joined(turn)).await {
        Ok(turn) => turn?,
        Err(_) => fail!("the session was not renewed, but the driver still keeps its entry after {within:?}"),
    }
    ensure_eq!(b.seqs(&roster).await?, [next.seq]);
    soon("a snapshot after the expiry", b.snapshot(&roster, Some(seen))).await?;
    every_verb_on_own_entries_fails(&*a, &roster, &ticket).await;
    ensure_eq!(b.seqs(&roster).await?, [next.seq]);
    soon("the close of a session that has expired", a.close()).await?;
    Ok(())
}

async fn an_expired_session_never_adds_an_entry(context: Context) -> Result<(), Failure> {
    let (a, b, roster) =
        (Client::open_without_renewal(&context, "a").await?, Client::open(&context, "b").await?, lock());
    if a.ttl().is_none() {
        a.close().await?;
    }
    // The session never had an entry, so only the session itself shows that it is over.
    let enters = async || a.enter(&roster, exclusive()).await;
    sleep(a.ttl().map_or(Duration::ZERO, |ttl| ttl + Duration::from_secs(2))).await;
    let deadline = Instant::now() + PATIENCE;
    while let Ok(standing) = enters().await {
        ensure!(Instant::now() < deadline, "a session that was not renewed still enters: {standing:?}");
        // An `enter` must not renew the session, either.
        a.leave(&roster, &admitted(standing)).await?;
        sleep(Duration::from_millis(500)).await;
    }
    fails(enters().await, ErrorKind::SessionLost);
    ensure!(b.seqs(&roster).await?.is_empty());
    Ok(())
}

async fn a_dropped_session_ends_by_itself(context: Context) -> Result<(), Failure> {
    let (a, b, roster) =
        (Client::open_without_renewal(&context, "a").await?, Client::open(&context, "b").await?, lock());
    a.hold(&roster).await?;
    let within = longest_end(&a);
    drop(a);
    eventually("a session that was dropped has ended", within, async || Ok(b.seqs(&roster).await?.is_empty())).await?;
    Ok(())
}

async fn many_sessions_fit(context: Context) -> Result<(), Failure> {
    let members: Vec<_> = (0..20).map(|index| format!("member-{index}")).collect();
    let clients = try_join_all(members.iter().map(|member| Client::open(&context, member))).await?;
    let roster = lock();
    let mut held = clients[0].hold(&roster).await?;
    for (client, next) in clients.iter().zip(&clients[1..]) {
        let ticket = next.queue(&roster).await?;
        let turn = next.wait_in_background(&roster, ticket);
        ensure!(client.leave(&roster, &held).await?);
        ends("the turn of the next session", turn).await?;
        held = ticket;
    }
    try_join_all(clients.iter().map(|client| client.close())).await?;
    Ok(())
}
