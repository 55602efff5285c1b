//! Long queues: a release admits the next waiter and no other, however waiters leave the queue.

#![expect(clippy::unwrap_used, reason = "a panic is how these tests fail")]

mod support;

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::sleep;
use tooz_conformance::proxy::Proxy;
use tooz_conformance::servers::zookeeper;
use tooz_conformance::{Context, Failure, Harness, Needs};
use tooz_core::ErrorKind;
use tooz_core::driver::{Mode, NewEntry, Roster};

use self::support::{Client, Waiter, exclusive, lock, soon};

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(5);

/// How many waiters a long queue has.
const LONG: usize = 80;

fn main() -> ExitCode {
    let harness = Harness::new(support::named("queue"), tooz_zookeeper::DRIVER, zookeeper::single(), support::url);
    tooz_conformance::main(
        harness
            .only_own()
            .trial("a_queue_is_served_in_order_while_waiters_leave", Needs::OWN_SERVER, a_queue_is_served_in_order)
            .trial("a_withdrawn_waiter_admits_no_other", Needs::NOTHING, a_withdrawn_waiter)
            .trial("an_evicted_waiter_admits_no_other", Needs::NOTHING, an_evicted_waiter)
            .trial("a_replaced_value_admits_no_waiter", Needs::NOTHING, a_replaced_value)
            .trial("an_entry_that_is_gone_is_not_admitted", Needs::NOTHING, an_entry_that_is_gone)
            .trial("a_writer_waits_for_every_reader", Needs::NOTHING, a_writer_waits_for_every_reader),
    )
}

fn shared() -> NewEntry<'static> {
    NewEntry { mode: Mode::Shared, ..exclusive() }
}

/// A holder that has waited, and the waiters behind it.
async fn long_queue(client: &Client, roster: &Roster) -> Result<(Waiter, Vec<Waiter>), Failure> {
    let first = client.hold(roster).await?;
    let mut waiters = Vec::new();
    for _ in 0..LONG {
        waiters.push(Waiter::enter(client, roster, exclusive()).await?);
    }
    let mut holder = waiters.remove(0);
    client.session.leave(roster, &first).await?;
    holder.is_admitted().await?;
    sleep(Duration::from_millis(100)).await;
    Ok((holder, waiters))
}

async fn a_queue_is_served_in_order(context: Context) -> Result<(), Failure> {
    let proxy = Proxy::start(context.server()?.addresses()[0].clone()).await?;
    let through = context.at(format!("zookeeper://{}", proxy.address()));
    let clients = [
        Client::open(&context, TTL, LIMIT).await?,
        Client::open(&through, TTL, LIMIT).await?,
        Client::open(&context, TTL, LIMIT).await?,
    ];
    let roster = lock("lock");
    let mut waiters = Vec::new();
    let first = clients[0].hold(&roster).await?;
    for number in 0..3 * LONG {
        waiters.push(Waiter::enter(&clients[number % 3], &roster, exclusive()).await?);
    }
    clients[0].session.leave(&roster, &first).await?;
    let mut served = 0;
    while !waiters.is_empty() {
        let mut holder = waiters.remove(0);
        holder.is_admitted().await?;
        served += 1;
        if served % 20 == 0 {
            proxy.cut();
        }
        // The next waiter, or the one behind it, leaves in one of three ways.
        let behind = waiters.len().min(1 + served % 2);
        if served % 3 == 0 && behind > 0 {
            let gone = waiters.remove(behind - 1);
            gone.remove_entry_by(&roster, served, &clients[(served + 1) % 3].session).await?;
        }
        if served % 5 == 0 {
            sleep(Duration::from_millis(20)).await;
        }
        assert!(waiters.iter().all(|waiter| !waiter.turn.is_finished()), "there are two holders after {served} turns");
        holder.leave(&roster).await?;
    }
    assert!(served > LONG, "{served} waiters were admitted");
    Ok(())
}

async fn a_withdrawn_waiter(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, lock("lock"));
    let (holder, mut waiters) = long_queue(&a, &roster).await?;
    for _ in 0..3 {
        let gone = waiters.remove(0);
        a.session.withdraw(&roster, gone.ticket.nonce).await?;
        waiters[0].is_not_admitted("when its predecessor withdrew").await;
    }
    holder.leave(&roster).await?;
    waiters[0].is_admitted().await
}

async fn an_evicted_waiter(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, TTL, LIMIT).await?, Client::open(&context, TTL, LIMIT).await?);
    let roster = lock("lock");
    let (holder, mut waiters) = long_queue(&a, &roster).await?;
    let gone = waiters.remove(0);
    assert!(b.session.evict(&roster, gone.ticket.seq).await?);
    waiters[0].is_not_admitted("when its predecessor was evicted").await;
    // An evicted holder admits the next waiter.
    assert!(b.session.evict(&roster, holder.ticket.seq).await?);
    waiters[0].is_admitted().await
}

async fn a_replaced_value(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, lock("lock"));
    let (holder, mut waiters) = long_queue(&a, &roster).await?;
    // This wakes the next waiter.
    a.session.replace(&roster, &holder.ticket, b"new").await?;
    waiters[0].is_not_admitted("while its predecessor holds").await;
    holder.leave(&roster).await?;
    waiters[0].is_admitted().await
}

async fn an_entry_that_is_gone(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, TTL, LIMIT).await?, Client::open(&context, TTL, LIMIT).await?);
    let roster = lock("lock");
    let (holder, waiters) = long_queue(&a, &roster).await?;
    // Readers, all of which the holder blocks.
    let mut readers = Vec::new();
    for _ in 0..LONG {
        readers.push(Waiter::enter(&a, &roster, shared()).await?);
    }
    for waiter in &waiters {
        waiter.leave(&roster).await?;
    }
    sleep(Duration::from_millis(200)).await;
    // The driver does not watch such a new entry yet.
    let evicted = Waiter::enter(&a, &roster, shared()).await?;
    assert!(b.session.evict(&roster, evicted.ticket.seq).await?);
    holder.leave(&roster).await?;
    let outcome = soon("the end of the wait", evicted.turn).await.unwrap();
    assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::NotHeld));
    for reader in &mut readers {
        reader.is_admitted().await?;
    }
    Ok(())
}

async fn a_writer_waits_for_every_reader(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, lock("lock"));
    let first = a.hold(&roster).await?;
    let mut holder = Waiter::enter(&a, &roster, exclusive()).await?;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Waiter::enter(&a, &roster, shared()).await?);
    }
    let mut writer = Waiter::enter(&a, &roster, exclusive()).await?;
    for _ in 0..LONG {
        Waiter::enter(&a, &roster, exclusive()).await?;
    }
    a.session.leave(&roster, &first).await?;
    holder.is_admitted().await?;
    sleep(Duration::from_millis(50)).await;
    holder.leave(&roster).await?;
    for reader in &mut readers {
        reader.is_admitted().await?;
    }
    // The writer watches the reader that leaves first.
    for reader in readers.iter().rev() {
        writer.is_not_admitted("while there are readers").await;
        reader.leave(&roster).await?;
    }
    writer.is_admitted().await
}
