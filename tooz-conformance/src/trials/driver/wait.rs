//! `await_turn`: waiting until an entry is admitted.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::sleep;
use tooz_core::driver::{Kind, Mode, Offset, Roster, Ticket};
use tooz_core::{ErrorKind, Name};

use crate::trials::fixtures::{
    Client, admitted, ends, entry, exclusive, fails, lock, not_now, poll_then_drop, roster, shared, soon, waiting,
};
use crate::{Context, Failure, ensure, ensure_eq};

rule_trials! {
    R4:
    await_turn_goes_on_after_it_was_dropped;
    R5:
    waits_have_no_time_limit;
    R10:
    close_wakes_the_next_waiter;
    R14:
    leave_wakes_the_next_waiter;
    R15:
    withdraw_wakes_the_next_waiter;
    R20:
    await_turn_returns_at_once_when_admitted,
    await_turn_fails_when_the_entry_is_gone,
    await_turn_fails_when_the_entry_goes,
    a_writer_waits_for_every_reader,
    readers_are_woken_together,
    a_semaphore_wakes_its_waiter_when_any_holder_leaves,
    await_turn_may_be_called_twice_at_a_time,
    await_turn_that_races_with_leave_is_not_forgotten,
    a_thousand_waiters_are_served_in_order;
}

/// The timeout of a session limits requests, and not calls that wait for something.
async fn waits_have_no_time_limit(context: Context) -> Result<(), Failure> {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open_for(&context, TIMEOUT).await?, lock());
    let held = a.hold(&roster).await?;
    let waiter = b.queue(&roster).await?;
    let turn = b.wait_in_background(&roster, waiter);
    let seen = b.snapshot(&roster, None).await?.version;
    let (session, watched) = (b.session(), roster.clone());
    let watch = tokio::spawn(async move { session.snapshot(&watched, Some(seen)).await });
    let topic = Name::new("topic")?;
    let (session, read) = (b.session(), topic.clone());
    let reading = tokio::spawn(async move {
        match session.topics() {
            Some(topics) => topics.read(&read, Offset(0), 1).await.map(drop),
            None => Ok(()),
        }
    });
    sleep(TIMEOUT + TIMEOUT / 4).await;
    ensure!(!turn.is_finished() && !watch.is_finished(), "a wait has ended after the timeout of a request");
    ensure!(a.leave(&roster, &held).await?);
    ends("the turn, later than the timeout", turn).await?;
    ends("the change, later than the timeout", watch).await?;
    if let Some(topics) = a.topics() {
        topics.publish(&topic, b"x", 1).await?;
    }
    ends("the message, later than the timeout", reading).await?;
    Ok(())
}

async fn await_turn_returns_at_once_when_admitted(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    let ticket = a.hold(&roster).await?;
    for _ in 0..3 {
        soon("the turn of the holder", a.await_turn(&roster, &ticket)).await?;
    }
    let late = admitted(a.enter(&roster, entry(Mode::Member, 1)).await?);
    soon("the turn of a member", a.await_turn(&roster, &late)).await?;
    Ok(())
}

async fn await_turn_fails_when_the_entry_is_gone(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let ticket = a.hold(&roster).await?;
    ensure!(a.leave(&roster, &ticket).await?);
    fails(soon("the answer", a.await_turn(&roster, &ticket)).await, ErrorKind::NotHeld);
    // The position of the entry does not pass to a later entry.
    let next = b.hold(&roster).await?;
    fails(soon("the answer", a.await_turn(&roster, &ticket)).await, ErrorKind::NotHeld);
    let gone = a.queue(&roster).await?;
    a.withdraw(&roster, gone.nonce).await?;
    fails(soon("the answer", a.await_turn(&roster, &gone)).await, ErrorKind::NotHeld);
    soon("the turn of the holder", b.await_turn(&roster, &next)).await?;
    Ok(())
}

async fn await_turn_fails_when_the_entry_goes(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let (evicted, withdrawn, left) = (b.queue(&roster).await?, b.queue(&roster).await?, b.queue(&roster).await?);
    let tasks = [evicted, withdrawn, left].map(|ticket| b.wait_in_background(&roster, ticket));
    sleep(Duration::from_millis(100)).await;
    ensure!(a.evict(&roster, evicted.seq).await?);
    b.withdraw(&roster, withdrawn.nonce).await?;
    ensure!(b.leave(&roster, &left).await?);
    for task in tasks {
        fails(ends("the end of a waiter whose entry was removed", task).await, ErrorKind::NotHeld);
    }
    ensure_eq!(b.seqs(&roster).await?, [held.seq]);
    Ok(())
}

async fn leave_wakes_the_next_waiter(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let mut held = a.hold(&roster).await?;
    // In both directions, so that a session that has held the lock also waits.
    for (holder, waiter) in [(&a, &b), (&b, &a), (&a, &b)] {
        let next = waiter.queue(&roster).await?;
        let turn = waiter.wait_in_background(&roster, next);
        sleep(Duration::from_millis(60)).await;
        ensure!(!turn.is_finished(), "the waiter was admitted while another holds");
        ensure!(holder.leave(&roster, &held).await?);
        ends("the turn of the next waiter", turn).await?;
        held = next;
    }
    Ok(())
}

async fn withdraw_wakes_the_next_waiter(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let next = b.queue(&roster).await?;
    let turn = b.wait_in_background(&roster, next);
    sleep(Duration::from_millis(60)).await;
    a.withdraw(&roster, held.nonce).await?;
    ends("the turn of the next waiter", turn).await?;
    Ok(())
}

async fn close_wakes_the_next_waiter(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let c = Client::open(&context, "c").await?;
    a.hold(&roster).await?;
    c.queue(&roster).await?;
    let next = b.queue(&roster).await?;
    let turn = b.wait_in_background(&roster, next);
    sleep(Duration::from_millis(60)).await;
    c.close().await?;
    not_now("the turn of the third while the first holds", b.await_turn(&roster, &next)).await;
    a.close().await?;
    ends("the turn of the next waiter", turn).await?;
    Ok(())
}

async fn a_writer_waits_for_every_reader(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(admitted(a.enter(&roster, shared()).await?));
    }
    let writer = b.queue(&roster).await?;
    let turn = b.wait_in_background(&roster, writer);
    sleep(Duration::from_millis(60)).await;
    // The nearest reader leaves first: the entry in `blocked_by` is not the only one that blocks the writer.
    for reader in [readers[2], readers[0]] {
        ensure!(a.leave(&roster, &reader).await?);
        not_now("the turn of the writer while a reader holds", b.await_turn(&roster, &writer)).await;
    }
    ensure!(!turn.is_finished());
    ensure!(a.leave(&roster, &readers[1]).await?);
    ends("the turn of the writer", turn).await?;
    Ok(())
}

async fn readers_are_woken_together(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let mut turns = Vec::new();
    for client in [&a, &b, &b] {
        let (ticket, blocked_by) = waiting(client.enter(&roster, shared()).await?);
        ensure_eq!(blocked_by, held.seq);
        turns.push(client.wait_in_background(&roster, ticket));
    }
    let writer = a.queue(&roster).await?;
    let late = waiting(b.enter(&roster, shared()).await?).0;
    sleep(Duration::from_millis(60)).await;
    ensure!(a.leave(&roster, &held).await?);
    for turn in turns {
        ends("the turn of a reader", turn).await?;
    }
    not_now("the turn of a reader behind a writer", b.await_turn(&roster, &late)).await;
    not_now("the turn of a writer behind readers", a.await_turn(&roster, &writer)).await;
    Ok(())
}

async fn a_semaphore_wakes_its_waiter_when_any_holder_leaves(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?);
    for leaving in 0..3 {
        let roster = roster(Kind::Semaphore, format!("{leaving} leaves"));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(admitted(a.enter(&roster, entry(Mode::Exclusive, 3)).await?));
        }
        let (next, _) = waiting(b.enter(&roster, entry(Mode::Exclusive, 3)).await?);
        let (last, _) = waiting(b.enter(&roster, entry(Mode::Exclusive, 3)).await?);
        let turn = b.wait_in_background(&roster, next);
        sleep(Duration::from_millis(60)).await;
        ensure!(!turn.is_finished());
        ensure!(a.leave(&roster, &held[leaving]).await?);
        ends("the turn of the next waiter", turn).await?;
        not_now("the turn of the last while three hold", b.await_turn(&roster, &last)).await;
    }
    Ok(())
}

async fn await_turn_goes_on_after_it_was_dropped(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for polls in 0..6 {
        let held = a.hold(&roster).await?;
        let next = b.queue(&roster).await?;
        let early =
            tokio::time::timeout(Duration::from_millis(30), poll_then_drop(polls, b.await_turn(&roster, &next)));
        ensure!(!matches!(early.await, Ok(Some(_))), "it was admitted while another holds");
        ensure!(a.leave(&roster, &held).await?);
        soon("the turn, asked for once more", b.await_turn(&roster, &next)).await?;
        ensure!(b.leave(&roster, &next).await?);
    }
    Ok(())
}

async fn await_turn_may_be_called_twice_at_a_time(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let next = b.queue(&roster).await?;
    let turns = [b.wait_in_background(&roster, next), b.wait_in_background(&roster, next)];
    let given_up = b.wait_in_background(&roster, next);
    sleep(Duration::from_millis(60)).await;
    given_up.abort();
    ensure!(a.leave(&roster, &held).await?);
    for turn in turns {
        ends("the turn, in each call that waits for it", turn).await?;
    }
    Ok(())
}

async fn await_turn_that_races_with_leave_is_not_forgotten(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for round in 0..60u64 {
        let held = a.hold(&roster).await?;
        let next = b.queue(&roster).await?;
        let leaving = async {
            sleep(Duration::from_micros(round % 20 * 150)).await;
            a.leave(&roster, &held).await
        };
        let (turn, left) = tokio::join!(soon("the turn after a race", b.await_turn(&roster, &next)), leaving);
        turn?;
        ensure!(left?);
        ensure!(b.leave(&roster, &next).await?);
    }
    Ok(())
}

async fn a_thousand_waiters_are_served_in_order(context: Context) -> Result<(), Failure> {
    const WAITERS: usize = 1_000;
    const SERVED: usize = 20;
    let clients = try_join_all(["a", "b", "c", "d"].map(|member| Client::open(&context, member))).await?;
    let roster = lock();
    let mut held = clients[0].hold(&roster).await?;
    let mut queue = Vec::new();
    for batch in 0..WAITERS / 50 {
        let client = &clients[batch % clients.len()];
        let enters = try_join_all((0..50).map(|_| client.enter(&roster, exclusive()))).await?;
        queue.extend(enters.into_iter().map(|standing| (waiting(standing).0, client)));
    }
    queue.sort_by_key(|(ticket, _)| ticket.seq);
    let mut turns: Vec<_> = queue.iter().map(|(ticket, client)| client.wait_in_background(&roster, *ticket)).collect();
    sleep(Duration::from_millis(200)).await;
    let mut holder = &clients[0];
    for (place, (ticket, client)) in queue.iter().take(SERVED).enumerate() {
        ensure!(turns.iter().all(|turn| !turn.is_finished()), "a waiter was admitted before release {place}");
        ensure!(holder.leave(&roster, &held).await?);
        ends("the turn of the first waiter", turns.remove(0)).await?;
        (held, holder) = (*ticket, client);
    }
    sleep(Duration::from_millis(100)).await;
    ensure!(turns.iter().all(|turn| !turn.is_finished()), "a waiter was admitted out of turn");
    check_that_closing_wakes(&clients, &roster, &queue[SERVED..]).await?;
    turns.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Closes all sessions but the last, so that the first entry of the last session is admitted.
async fn check_that_closing_wakes(
    clients: &[Client],
    roster: &Roster,
    rest: &[(Ticket, &Client)],
) -> Result<(), Failure> {
    let (last, others) = clients.split_last().expect("there are four");
    for client in others {
        client.close().await?;
    }
    let own = last.entries(roster).await?;
    let first = rest.iter().find(|(ticket, _)| own.iter().any(|entry| entry.nonce == ticket.nonce));
    let (ticket, _) = first.expect("each client has entries");
    soon("the turn after many have left at once", last.await_turn(roster, ticket)).await?;
    ensure_eq!(own.first().map(|entry| entry.seq), Some(ticket.seq));
    Ok(())
}
