//! `leave`, `withdraw`, `replace` and `evict`.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, try_join_all};
use tokio::time::sleep;
use tooz_core::ErrorKind;
use tooz_core::driver::{IfTaken, Kind, Loss, Mode, NewEntry, Nonce, Seq, Ticket};

use crate::trials::fixtures::{
    A_WHILE, Client, admitted, ends, entry, exclusive, fails, lock, member, not_now, poll_then_drop, roster, soon,
};
use crate::{Context, Failure, ensure, ensure_eq, fail};

rule_trials! {
    R4:
    withdraw_after_a_dropped_enter_leaves_nothing;
    R11:
    own_removals_are_not_reported,
    a_report_survives_dropped_calls,
    a_loss_is_pushed_between_renewals;
    R14:
    leave_compares_the_ticket,
    leave_is_idempotent,
    leave_admits_only_the_next,
    leave_removes_a_waiter_from_the_queue;
    R15:
    withdraw_removes_the_entry,
    withdraw_touches_only_its_own_session,
    withdraw_rejects_a_late_enter,
    withdraw_rejects_many_late_enters,
    withdraw_prevents_an_enter_under_way;
    R16:
    replace_changes_the_value_and_nothing_else,
    replace_compares_the_ticket;
    R17:
    evict_removes_the_entry_of_another,
    evict_is_idempotent,
    evict_notifies_the_owner_once,
    evict_notifies_its_own_session,
    evict_wakes_the_next;
}

/// Tickets that differ from `ticket` in one field.
fn forgeries(ticket: Ticket) -> [Ticket; 4] {
    [
        Ticket { nonce: Nonce::random(), ..ticket },
        Ticket { nonce: Nonce(ticket.nonce.0 ^ 1), ..ticket },
        Ticket { seq: Seq(ticket.seq.0 + 1), ..ticket },
        Ticket { seq: Seq(ticket.seq.0 - 1), ..ticket },
    ]
}

async fn leave_compares_the_ticket(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let former = a.hold(&roster).await?;
    ensure!(a.leave(&roster, &former).await?);
    let ticket = a.hold(&roster).await?;
    for wrong in forgeries(ticket).into_iter().chain([former]) {
        ensure!(!a.leave(&roster, &wrong).await?, "{wrong:?} has removed {ticket:?}");
    }
    ensure!(!b.leave(&roster, &ticket).await?, "a session has removed the entry of another with its ticket");
    ensure!(!a.leave(&self::roster(Kind::Lock, "other"), &ticket).await?, "the ticket of another roster was accepted");
    ensure_eq!(b.seqs(&roster).await?, [ticket.seq]);
    ensure!(a.leave(&roster, &ticket).await?);
    Ok(())
}

async fn leave_is_idempotent(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let ticket = a.hold(&roster).await?;
    let removed = try_join_all((0..8).map(|_| a.leave(&roster, &ticket))).await?;
    ensure_eq!(removed.iter().filter(|removed| **removed).count(), 1, "{removed:?}");
    let next = b.hold(&roster).await?;
    ensure!(!a.leave(&roster, &ticket).await?);
    ensure_eq!(a.seqs(&roster).await?, [next.seq]);
    Ok(())
}

async fn leave_admits_only_the_next(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let (second, third) = (b.queue(&roster).await?, a.queue(&roster).await?);
    ensure!(a.leave(&roster, &held).await?);
    soon("the turn of the second", b.await_turn(&roster, &second)).await?;
    not_now("the turn of the third while the second holds", a.await_turn(&roster, &third)).await;
    ensure!(b.leave(&roster, &second).await?);
    soon("the turn of the third", a.await_turn(&roster, &third)).await?;
    Ok(())
}

async fn leave_removes_a_waiter_from_the_queue(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let (second, third) = (b.queue(&roster).await?, a.queue(&roster).await?);
    let turn = a.wait_in_background(&roster, third);
    sleep(Duration::from_millis(50)).await;
    ensure!(b.leave(&roster, &second).await?);
    not_now("the turn of the third while the first holds", a.await_turn(&roster, &third)).await;
    ensure!(!turn.is_finished());
    ensure_eq!(a.seqs(&roster).await?, [held.seq, third.seq]);
    ensure!(a.leave(&roster, &held).await?);
    ends("the turn of the third", turn).await?;
    Ok(())
}

async fn withdraw_removes_the_entry(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let (second, third) = (b.queue(&roster).await?, a.queue(&roster).await?);
    let turn = a.wait_in_background(&roster, third);
    // A waiter, a holder, and a nonce without an entry.
    b.withdraw(&roster, second.nonce).await?;
    ensure_eq!(a.seqs(&roster).await?, [held.seq, third.seq]);
    a.withdraw(&roster, held.nonce).await?;
    ends("the grant to the next waiter", turn).await?;
    a.withdraw(&roster, held.nonce).await?;
    a.withdraw(&roster, Nonce::random()).await?;
    ensure_eq!(a.seqs(&roster).await?, [third.seq]);
    Ok(())
}

async fn withdraw_touches_only_its_own_session(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let ticket = a.hold(&roster).await?;
    b.withdraw(&roster, ticket.nonce).await?;
    ensure_eq!(a.seqs(&roster).await?, [ticket.seq]);
    let other = roster_of_the_same_name();
    a.withdraw(&other, ticket.nonce).await?;
    ensure_eq!(a.seqs(&roster).await?, [ticket.seq], "a withdrawal from {other} has emptied {roster}");
    Ok(())
}

fn roster_of_the_same_name() -> tooz_core::driver::Roster {
    roster(Kind::Semaphore, lock().name)
}

async fn withdraw_rejects_a_late_enter(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    for new in [exclusive(), entry(Mode::Member, 1), member(b"m", IfTaken::TakeOver)] {
        a.withdraw(&roster, new.nonce).await?;
        fails(a.enter(&roster, new).await, ErrorKind::NotHeld);
        ensure!(a.seqs(&roster).await?.is_empty());
    }
    let new = exclusive();
    admitted(a.enter(&roster, new).await?);
    a.withdraw(&roster, new.nonce).await?;
    fails(a.enter(&roster, new).await, ErrorKind::NotHeld);
    ensure!(a.seqs(&roster).await?.is_empty());
    Ok(())
}

/// There are as many requests as a session may have under way at a time.
async fn withdraw_rejects_many_late_enters(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    let late: Vec<_> = (0..50).map(|_| exclusive()).collect();
    try_join_all(late.iter().map(|new| a.withdraw(&roster, new.nonce))).await?;
    for new in late {
        fails(a.enter(&roster, new).await, ErrorKind::NotHeld);
    }
    ensure!(a.seqs(&roster).await?.is_empty());
    Ok(())
}

async fn withdraw_prevents_an_enter_under_way(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    for _ in 0..50 {
        let new = exclusive();
        let (entered, withdrawn) = join(a.enter(&roster, new), a.withdraw(&roster, new.nonce)).await;
        withdrawn?;
        if let Err(error) = entered {
            ensure!(error.is_not_held(), "{error}");
        }
        ensure!(a.seqs(&roster).await?.is_empty());
    }
    Ok(())
}

async fn withdraw_after_a_dropped_enter_leaves_nothing(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for polls in 0..24 {
        let new = exclusive();
        let _ = poll_then_drop(polls % 6, a.enter(&roster, new)).await;
        let _ = poll_then_drop(polls % 4, a.withdraw(&roster, new.nonce)).await;
        a.withdraw(&roster, new.nonce).await?;
        ensure!(b.seqs(&roster).await?.is_empty(), "after {} polls", polls % 6);
    }
    sleep(A_WHILE).await;
    ensure!(b.seqs(&roster).await?.is_empty(), "a request that was dropped took effect after its withdrawal");
    Ok(())
}

async fn replace_changes_the_value_and_nothing_else(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let new = NewEntry { value: b"old", ..member(b"m", IfTaken::Refuse) };
    let ticket = admitted(a.enter(&roster, new).await?);
    let held = b.hold(&roster).await?;
    let before = b.entries(&roster).await?;
    for value in [&b"new"[..], b"new", b"", &[0xff; 5000]] {
        a.replace(&roster, &ticket, value).await?;
        let mut expected = before.clone();
        expected[0].value = value.to_vec();
        ensure_eq!(b.entries(&roster).await?, expected);
    }
    // Neither a later entry nor a repeated `enter` restores the old value.
    admitted(a.enter(&roster, new).await?);
    ensure_eq!(b.entries(&roster).await?[0].value, [0xff; 5000]);
    ensure!(a.leave(&roster, &ticket).await?, "the ticket is no longer valid after replace");
    ensure_eq!(b.seqs(&roster).await?, [held.seq]);
    Ok(())
}

async fn replace_compares_the_ticket(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let ticket = a.hold(&roster).await?;
    for wrong in forgeries(ticket) {
        fails(a.replace(&roster, &wrong, b"x").await, ErrorKind::NotHeld);
    }
    fails(b.replace(&roster, &ticket, b"x").await, ErrorKind::NotHeld);
    ensure_eq!(a.entries(&roster).await?[0].value, b"");
    ensure!(a.leave(&roster, &ticket).await?);
    fails(a.replace(&roster, &ticket, b"x").await, ErrorKind::NotHeld);
    ensure!(a.entries(&roster).await?.is_empty(), "a replaced value exists although its entry has left");
    Ok(())
}

async fn evict_removes_the_entry_of_another(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let ticket = a.hold(&roster).await?;
    ensure!(!b.evict(&roster, Seq(ticket.seq.0 + 1)).await?);
    ensure!(!b.evict(&self::roster(Kind::Lock, "other"), ticket.seq).await?);
    ensure!(b.evict(&roster, ticket.seq).await?);
    ensure!(!b.evict(&roster, ticket.seq).await?);
    fails(a.await_turn(&roster, &ticket).await, ErrorKind::NotHeld);
    fails(a.replace(&roster, &ticket, b"x").await, ErrorKind::NotHeld);
    ensure!(!a.leave(&roster, &ticket).await?);
    ensure!(b.hold(&roster).await?.seq > ticket.seq);
    Ok(())
}

async fn evict_is_idempotent(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let ticket = a.hold(&roster).await?;
    ensure!(b.evict(&roster, ticket.seq).await?, "the eviction of an entry says that it removed none");
    ensure!(!b.evict(&roster, ticket.seq).await?, "a second eviction says that it removed an entry");
    ensure!(!a.evict(&roster, Seq(ticket.seq.0 + 1)).await?, "the eviction of no entry says that it removed one");
    Ok(())
}

/// The TTL is long, so that no renewal reports the loss in time.
async fn a_loss_is_pushed_between_renewals(context: Context) -> Result<(), Failure> {
    if !context.info()?.pushes_losses {
        return Err(Failure::ignored("the driver declares that it learns of losses by renewals"));
    }
    let context = context.with_ttl(Duration::from_secs(45));
    // Nothing renews these sessions.
    let (a, b, roster) = (context.session("a").await?, context.session("b").await?, lock());
    let new = exclusive();
    let ticket = admitted(a.enter(&roster, new).await?);
    ensure!(b.evict(&roster, ticket.seq).await?);
    match soon("the report of the removed entry, by push", a.lost()).await {
        Loss::Entry(nonce) if nonce == new.nonce => Ok(()),
        other => fail!("the driver reports {other:?} instead of the removal of {:?}", new.nonce),
    }
}

async fn evict_notifies_the_owner_once(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let (holder, waiter) = (a.hold(&roster).await?, a.queue(&roster).await?);
    // The report is kept while no call of `lost` waits, or when such a call is dropped.
    let _ = poll_then_drop(1, a.lost()).await;
    ensure!(b.evict(&roster, holder.seq).await?);
    a.is_notified_of(holder).await;
    ensure!(b.evict(&roster, waiter.seq).await?);
    a.is_notified_of(waiter).await;
    not_now("a second report of the same removal", pin!(a.lost())).await;
    Ok(())
}

async fn evict_notifies_its_own_session(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    let ticket = a.hold(&roster).await?;
    ensure!(a.evict(&roster, ticket.seq).await?);
    a.is_notified_of(ticket).await;
    Ok(())
}

async fn evict_wakes_the_next(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    let held = a.hold(&roster).await?;
    let (second, third) = (a.queue(&roster).await?, b.queue(&roster).await?);
    let (turn, next) = (a.wait_in_background(&roster, second), b.wait_in_background(&roster, third));
    sleep(Duration::from_millis(50)).await;
    ensure!(b.evict(&roster, second.seq).await?);
    fails(ends("the end of an evicted waiter", turn).await, ErrorKind::NotHeld);
    ensure!(!next.is_finished());
    ensure!(b.evict(&roster, held.seq).await?);
    ends("the grant to the next waiter", next).await?;
    Ok(())
}

/// Each call of `lost` is dropped after 5 ms, until one returns the report.
async fn a_report_survives_dropped_calls(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, lock());
    for _ in 0..3 {
        let ticket = a.hold(&roster).await?;
        ensure!(b.evict(&roster, ticket.seq).await?);
        let reported = async {
            loop {
                if let Ok(loss) = tokio::time::timeout(Duration::from_millis(5), a.lost()).await {
                    return loss;
                }
            }
        };
        match soon("the report of the removed entry, although calls are dropped", reported).await {
            Loss::Entry(nonce) => ensure_eq!(nonce, ticket.nonce),
            other => fail!("the driver reports {other:?} instead of the removal of {:?}", ticket.nonce),
        }
    }
    Ok(())
}

async fn own_removals_are_not_reported(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, "a").await?, lock());
    let (left, withdrawn) = (a.hold(&roster).await?, a.queue(&roster).await?);
    ensure!(a.leave(&roster, &left).await?);
    a.withdraw(&roster, withdrawn.nonce).await?;
    // This is longer than a renewal takes, because some backends learn of removals by renewals.
    let reported = tokio::time::timeout(Duration::from_millis(700), a.lost()).await;
    ensure!(reported.is_err(), "the session reported a removal that it made itself: {reported:?}");
    Ok(())
}
