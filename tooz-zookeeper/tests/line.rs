//! A long line, in which who was admitted says so and the next does not list everybody.

#![expect(clippy::unwrap_used, reason = "a panic is how these tests fail")]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tooz_conformance::proxy::Proxy;
use tooz_conformance::servers::zookeeper;
use tooz_conformance::{Context, Failure, Harness, Needs};
use tooz_core::ErrorKind;
use tooz_core::driver::{Mode, NewEntry, Roster, Session, Standing, Ticket};

use self::support::{Client, at_last, exclusive, lock, soon, znodes};

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(5);
/// Longer than it must be to count as long.
const LONG: usize = 80;

fn main() -> ExitCode {
    let own = Needs::OWN_SERVER;
    let harness = Harness::new(support::named("line"), tooz_zookeeper::DRIVER, zookeeper::single(), |hosts| {
        format!("zookeeper://{}", hosts.join(","))
    });
    tooz_conformance::main(
        harness
            .only_own()
            .trial("a_line_is_served_in_order_while_some_leave_it", own, a_line_is_served_in_order)
            .trial("who_withdraws_passes_no_turn_on", Needs::NOTHING, who_withdraws_passes_no_turn_on)
            .trial("who_is_evicted_passes_no_turn_on", Needs::NOTHING, who_is_evicted_passes_no_turn_on)
            .trial("who_was_admitted_passes_it_on_when_it_goes", Needs::NOTHING, who_was_admitted_passes_it_on)
            .trial("an_entry_that_is_gone_is_not_passed_the_turn", Needs::NOTHING, an_entry_that_is_gone)
            .trial("readers_pass_no_turn_on", Needs::NOTHING, readers_pass_no_turn_on)
            .trial("a_hand_over_lists_nobody", Needs::NOTHING, a_hand_over_lists_nobody)
            .trial("an_announcement_goes_when_nobody_needs_it", own, an_announcement_goes),
    )
}

/// One who stands in line, and waits in the background.
struct Waiter {
    session: Arc<dyn Session>,
    ticket: Ticket,
    turn: JoinHandle<tooz_core::Result<()>>,
}

impl Waiter {
    async fn enter(client: &Client, roster: &Roster, mode: Mode) -> Result<Self, Failure> {
        let entry = NewEntry { mode, ..exclusive() };
        let Standing::Waiting { ticket, .. } = client.session.enter(roster, entry).await? else {
            panic!("somebody holds")
        };
        let (session, waited) = (client.session.clone(), roster.clone());
        let turn = tokio::spawn(async move {
            loop {
                match session.await_turn(&waited, &ticket).await {
                    Err(error) if error.is_retryable() => sleep(Duration::from_millis(50)).await,
                    outcome => return outcome,
                }
            }
        });
        Ok(Self { session: client.session.clone(), ticket, turn })
    }

    /// False may also be the answer to a second attempt, after the first had none.
    async fn leave(&self, roster: &Roster) -> Result<(), Failure> {
        at_last("leave", || self.session.leave(roster, &self.ticket)).await?;
        Ok(())
    }

    async fn has_turn(&mut self) -> Result<(), Failure> {
        Ok(soon("the turn", &mut self.turn).await.unwrap()?)
    }

    async fn has_no_turn(&self, why: &str) {
        sleep(Duration::from_millis(200)).await;
        assert!(!self.turn.is_finished(), "it was let in {why}");
    }
}

/// A holder who waited in a long line, so that its admission is announced, and those behind it.
async fn long_line(client: &Client, roster: &Roster) -> Result<(Waiter, Vec<Waiter>), Failure> {
    let first = client.hold(roster).await?;
    let mut line = Vec::new();
    for _ in 0..LONG {
        line.push(Waiter::enter(client, roster, Mode::Exclusive).await?);
    }
    let mut holder = line.remove(0);
    client.session.leave(roster, &first).await?;
    holder.has_turn().await?;
    sleep(Duration::from_millis(100)).await;
    Ok((holder, line))
}

async fn a_line_is_served_in_order(context: Context) -> Result<(), Failure> {
    let proxy = Proxy::start(context.server()?.addresses()[0].clone()).await?;
    let through = context.at(format!("zookeeper://{}", proxy.address()));
    let clients = [
        Client::open(&context, TTL, LIMIT).await?,
        Client::open(&through, TTL, LIMIT).await?,
        Client::open(&context, TTL, LIMIT).await?,
    ];
    let roster = lock("lock");
    let mut line = Vec::new();
    let first = clients[0].hold(&roster).await?;
    for number in 0..3 * LONG {
        line.push(Waiter::enter(&clients[number % 3], &roster, Mode::Exclusive).await?);
    }
    clients[0].session.leave(&roster, &first).await?;
    let mut served = 0;
    while !line.is_empty() {
        let mut holder = line.remove(0);
        holder.has_turn().await?;
        served += 1;
        if served % 20 == 0 {
            proxy.cut();
        }
        // The next, or the one behind it, gives up in one of the ways there are.
        let behind = line.len().min(1 + served % 2);
        if served % 3 == 0 && behind > 0 {
            let gone = line.remove(behind - 1);
            let other = &clients[(served + 1) % 3].session;
            match served % 9 {
                0 => drop(at_last("evict", || other.evict(&roster, gone.ticket.seq)).await?),
                3 => at_last("withdraw", || gone.session.withdraw(&roster, gone.ticket.nonce)).await?,
                _ => gone.leave(&roster).await?,
            }
            let outcome = soon("the end of the wait", gone.turn).await.unwrap();
            assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::NotHeld));
        }
        if served % 5 == 0 {
            sleep(Duration::from_millis(20)).await;
        }
        assert!(line.iter().all(|waiter| !waiter.turn.is_finished()), "two hold after {served} turns");
        holder.leave(&roster).await?;
    }
    assert!(served > LONG, "the line was served {served} times");
    Ok(())
}

async fn who_withdraws_passes_no_turn_on(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, lock("lock"));
    let (holder, mut line) = long_line(&a, &roster).await?;
    // One after the other, so that some were told of by an announcement that was passed on.
    for _ in 0..3 {
        let gone = line.remove(0);
        a.session.withdraw(&roster, gone.ticket.nonce).await?;
        line[0].has_no_turn("when the one before it withdrew").await;
    }
    holder.leave(&roster).await?;
    line[0].has_turn().await
}

async fn who_is_evicted_passes_no_turn_on(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, TTL, LIMIT).await?, Client::open(&context, TTL, LIMIT).await?);
    let roster = lock("lock");
    let (holder, mut line) = long_line(&a, &roster).await?;
    let gone = line.remove(0);
    assert!(b.session.evict(&roster, gone.ticket.seq).await?);
    line[0].has_no_turn("when the one before it was evicted").await;
    // A holder passes it on, however it goes.
    assert!(b.session.evict(&roster, holder.ticket.seq).await?);
    line[0].has_turn().await
}

async fn who_was_admitted_passes_it_on(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, lock("lock"));
    let (holder, mut line) = long_line(&a, &roster).await?;
    // That wakes the next, which reads that the holder was admitted.
    a.session.replace(&roster, &holder.ticket, b"new").await?;
    line[0].has_no_turn("while the one before it holds").await;
    holder.leave(&roster).await?;
    line[0].has_turn().await
}

async fn an_entry_that_is_gone(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, TTL, LIMIT).await?, Client::open(&context, TTL, LIMIT).await?);
    let roster = lock("lock");
    let (holder, line) = long_line(&a, &roster).await?;
    // Readers, all of whom stand right behind the holder.
    let mut readers = Vec::new();
    for _ in 0..LONG {
        readers.push(Waiter::enter(&a, &roster, Mode::Shared).await?);
    }
    for waiter in &line {
        waiter.leave(&roster).await?;
    }
    sleep(Duration::from_millis(200)).await;
    // So fresh that nothing watches the entry yet.
    let evicted = Waiter::enter(&a, &roster, Mode::Shared).await?;
    assert!(b.session.evict(&roster, evicted.ticket.seq).await?);
    holder.leave(&roster).await?;
    let outcome = soon("the end of the wait", evicted.turn).await.unwrap();
    assert_eq!(outcome.err().map(|error| error.kind()), Some(ErrorKind::NotHeld));
    for reader in &mut readers {
        reader.has_turn().await?;
    }
    Ok(())
}

async fn readers_pass_no_turn_on(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, lock("lock"));
    let first = a.hold(&roster).await?;
    let mut holder = Waiter::enter(&a, &roster, Mode::Exclusive).await?;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Waiter::enter(&a, &roster, Mode::Shared).await?);
    }
    let mut writer = Waiter::enter(&a, &roster, Mode::Exclusive).await?;
    for _ in 0..LONG {
        Waiter::enter(&a, &roster, Mode::Exclusive).await?;
    }
    a.session.leave(&roster, &first).await?;
    holder.has_turn().await?;
    sleep(Duration::from_millis(50)).await;
    holder.leave(&roster).await?;
    for reader in &mut readers {
        reader.has_turn().await?;
    }
    // The writer stands right behind the one who leaves first.
    for reader in readers.iter().rev() {
        writer.has_no_turn("while somebody reads").await;
        reader.leave(&roster).await?;
    }
    writer.has_turn().await
}

async fn a_hand_over_lists_nobody(context: Context) -> Result<(), Failure> {
    const TURNS: u64 = 50;
    let (through, proxies) = context.proxied().await?;
    let (a, roster) = (Client::open(&through, TTL, LIMIT).await?, lock("lock"));
    let (mut holder, line) = long_line(&a, &roster).await?;
    let before = proxies.traffic().bytes_to_client;
    for mut next in line.into_iter().take(TURNS as usize) {
        holder.leave(&roster).await?;
        next.has_turn().await?;
        holder = next;
        // Those in line are told what they must know of it.
        sleep(Duration::from_millis(5)).await;
    }
    let spent = (proxies.traffic().bytes_to_client - before) / TURNS;
    assert!(spent < 1000, "a hand-over took {spent} bytes, which is a listing of the line");
    Ok(())
}

async fn an_announcement_goes(context: Context) -> Result<(), Failure> {
    let address = &context.server()?.addresses()[0];
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, lock("lock"));
    let empty = znodes(address).await?;
    let (holder, line) = long_line(&a, &roster).await?;
    for waiter in &line {
        waiter.leave(&roster).await?;
    }
    holder.leave(&roster).await?;
    // The parents of the kind, the roster and the announcement, and the last two themselves.
    assert_eq!(znodes(address).await? - empty, 4);
    sleep(Duration::from_secs(27)).await;
    assert_eq!(znodes(address).await? - empty, 2, "something was left of a line that was served");
    Ok(())
}
