//! Semaphores with many waiters: a release admits the next one at the same cost however many there are, in whatever way
//! holders and waiters leave.

#![expect(clippy::unwrap_used, reason = "a panic is how these tests fail")]

mod support;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;
use tooz_conformance::proxy::Proxy;
use tooz_conformance::servers::zookeeper;
use tooz_conformance::{Context, Failure, Harness, Needs};
use tooz_core::Name;
use tooz_core::driver::{Kind, Mode, NewEntry, Roster, admission};

use self::support::{Client, Waiter, exclusive, requests};

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(5);
const PERMITS: u32 = 100;
const CONTENDERS: usize = 300;

fn main() -> ExitCode {
    let own = Needs::OWN_SERVER;
    let harness = Harness::new(support::named("semaphore"), tooz_zookeeper::DRIVER, zookeeper::single(), support::url);
    tooz_conformance::main(
        harness
            .only_own()
            .trial("a_hand_over_takes_four_requests_whatever_the_number_of_permits", own, a_hand_over)
            .trial("the_rule_admits_while_entries_with_different_limits_leave", own, different_limits)
            .trial("a_waiter_whose_session_ends_admits_no_other_and_wakes_the_next", Needs::NOTHING, a_dead_waiter)
            .trial("a_replaced_value_of_a_waiter_loses_no_admission", Needs::NOTHING, a_replaced_value),
    )
}

fn semaphore() -> Roster {
    Roster { kind: Kind::Semaphore, name: Name::new("s").unwrap() }
}

fn entry(limit: u32) -> NewEntry<'static> {
    NewEntry { limit: NonZeroU32::new(limit).unwrap(), ..exclusive() }
}

async fn renew(clients: &[Client]) -> Result<(), Failure> {
    try_join_all(clients.iter().map(|client| client.session.renew())).await?;
    Ok(())
}

/// Sessions that only the trial renews, so that every request belongs to it.
async fn silent_clients(context: &Context, count: usize) -> Result<Vec<Client>, Failure> {
    let mut clients = try_join_all((0..count).map(|_| Client::open(context, TTL, LIMIT))).await?;
    clients.iter_mut().for_each(Client::stop_renewing);
    sleep(Duration::from_millis(400)).await;
    Ok(clients)
}

async fn a_hand_over(context: Context) -> Result<(), Failure> {
    let address = &context.server()?.addresses()[0];
    let (clients, roster) = (silent_clients(&context, 20).await?, semaphore());
    let mut waiters = Vec::new();
    for number in 0..CONTENDERS {
        if number % 20 == 0 {
            renew(&clients).await?;
        }
        waiters.push(Waiter::enter(&clients[number % clients.len()], &roster, entry(PERMITS)).await?);
    }
    for waiter in &mut waiters[..PERMITS as usize] {
        waiter.is_admitted().await?;
    }
    // The watches on the own entries are set.
    sleep(Duration::from_secs(1)).await;
    let mut counts = Vec::new();
    for round in 0..20 {
        renew(&clients).await?;
        let before = requests(address).await?;
        // Not the oldest holder only.
        let holder = waiters.remove(round % 3);
        holder.leave(&roster).await?;
        waiters[PERMITS as usize - 1].is_admitted().await?;
        sleep(Duration::from_millis(300)).await;
        counts.push(requests(address).await? - before);
        assert!(waiters[PERMITS as usize..].iter().all(|waiter| !waiter.turn.is_finished()), "too many were admitted");
    }
    // Now and then the sessions look for rosters that are no longer used.
    counts.sort_unstable();
    println!("requests of 20 hand-overs: {counts:?}");
    assert!(counts[10] <= 4, "a hand-over takes more than four requests: {counts:?}");
    Ok(())
}

/// Compares the admitted entries with the rule after each removal, while a connection is cut now and then.
async fn different_limits(context: Context) -> Result<(), Failure> {
    let proxy = Proxy::start(context.server()?.addresses()[0].clone()).await?;
    let through = context.at(support::url(&[proxy.address().to_string()]));
    let clients = [
        Client::open(&context, TTL, LIMIT).await?,
        Client::open(&through, TTL, LIMIT).await?,
        Client::open(&context, TTL, LIMIT).await?,
    ];
    let roster = semaphore();
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut waiters: Vec<Waiter> = Vec::new();
    for step in 0..250 {
        if waiters.len() < 4 || waiters.len() < 25 && random.random_bool(0.55) {
            let mode = if random.random_bool(0.2) { Mode::Shared } else { Mode::Exclusive };
            let new = NewEntry { mode, ..entry(random.random_range(1..=5)) };
            waiters.push(Waiter::enter(&clients[step % 3], &roster, new).await?);
        } else {
            let gone = waiters.remove(random.random_range(0..waiters.len()));
            let way = random.random_range(0..9);
            gone.remove_by(&roster, way, &clients[random.random_range(0..3)].session).await?;
        }
        if step % 25 == 24 {
            proxy.cut();
        }
        agrees_with_the_rule(&clients[0], &roster, &mut waiters, step).await?;
    }
    Ok(())
}

async fn agrees_with_the_rule(
    client: &Client,
    roster: &Roster,
    waiters: &mut [Waiter],
    step: usize,
) -> Result<(), Failure> {
    let entries = support::at_last("a snapshot", || client.session.snapshot(roster, None)).await?.entries;
    let (admitted, _) = admission::partition(&entries);
    for waiter in waiters {
        match admitted.iter().any(|entry| entry.nonce == waiter.ticket.nonce) {
            true if waiter.turn.is_finished() => {}
            true => waiter.is_admitted().await.map_err(|failure| failure.context(format!("after step {step}")))?,
            false => assert!(!waiter.turn.is_finished(), "it was admitted too early after step {step}"),
        }
    }
    Ok(())
}

async fn a_dead_waiter(context: Context) -> Result<(), Failure> {
    let (a, roster) = (Client::open(&context, TTL, LIMIT).await?, semaphore());
    let mut holders = Vec::new();
    for _ in 0..3 {
        holders.push(Waiter::enter(&a, &roster, entry(3)).await?);
    }
    let (mut dying, mut later) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let b = Client::open(&context, TTL, LIMIT).await?;
        let waiter = Waiter::enter(&b, &roster, entry(3)).await?;
        dying.push((b, waiter));
        later.push(Waiter::enter(&a, &roster, entry(3)).await?);
    }
    // The third one and the first one: that one watches the holders.
    for index in [2, 0] {
        let (client, waiter) = dying.remove(index);
        client.session.close().await?;
        assert!(waiter.turn.await.unwrap().is_err());
        later[0].is_not_admitted("when another waiter's session ended").await;
    }
    holders[1].leave(&roster).await?;
    later[0].is_admitted().await?;
    later[1].is_not_admitted("with the permit of another").await;
    // An admitted entry whose session ends admits the next.
    holders[0].leave(&roster).await?;
    let (client, mut waiter) = dying.remove(0);
    waiter.is_admitted().await?;
    client.session.close().await?;
    later[1].is_admitted().await?;
    Ok(())
}

async fn a_replaced_value(context: Context) -> Result<(), Failure> {
    let (a, b) = (Client::open(&context, TTL, LIMIT).await?, Client::open(&context, TTL, LIMIT).await?);
    let roster = semaphore();
    let (one, two) = (Waiter::enter(&a, &roster, entry(2)).await?, Waiter::enter(&a, &roster, entry(2)).await?);
    let mut first = Waiter::enter(&a, &roster, entry(2)).await?;
    let mut second = Waiter::enter(&b, &roster, entry(2)).await?;
    a.session.replace(&roster, &first.ticket, b"new").await?;
    second.is_not_admitted("when the value of its predecessor was replaced").await;
    // It watches an entry whose value was replaced before.
    let mut third = Waiter::enter(&b, &roster, entry(2)).await?;
    b.session.replace(&roster, &second.ticket, b"new").await?;
    one.leave(&roster).await?;
    first.is_admitted().await?;
    two.leave(&roster).await?;
    second.is_admitted().await?;
    first.leave(&roster).await?;
    third.is_admitted().await?;
    let values: Vec<_> =
        a.session.snapshot(&roster, None).await?.entries.into_iter().map(|entry| entry.value).collect();
    assert_eq!(values, [b"new".to_vec(), vec![]]);
    Ok(())
}
