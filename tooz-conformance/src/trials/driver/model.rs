//! Long random sequences of verbs, compared step by step with a small model.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tooz_core::driver::{Entry, IfBlocked, Kind, Mode, NewEntry, Nonce, Roster, Seq, Standing, Ticket, admission};

use crate::trials::fixtures::{Client, ends, entry, roster, soon};
use crate::{Context, Failure, ensure, ensure_eq};

rule_trials! {
    R12:
    standing_agrees_with_admission;
    R20:
    await_turn_agrees_with_the_provided_one,
    each_waiter_is_admitted_as_soon_as_it_must_be;
}

const STEPS: usize = 150;

/// A random number generator. Its seed is printed, so that a failure can be repeated.
pub(super) fn seeded() -> StdRng {
    let seed = match std::env::var("TOOZ_TEST_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => seed,
        None => rand::random(),
    };
    eprintln!("repeat this with TOOZ_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// The entries that a roster must have, with their owners.
#[derive(Debug, Default)]
struct Model {
    entries: Vec<(usize, Entry)>,
    last: Seq,
}

impl Model {
    fn present(&self) -> Vec<Entry> {
        self.entries.iter().map(|(_, entry)| entry.clone()).collect()
    }

    fn blocker(&self, mode: Mode, limit: u32, before: usize) -> Option<Seq> {
        admission::blocker(&self.present()[..before], mode, crate::trials::fixtures::limit(limit))
    }

    /// Compares the answer of `enter` with the model and adds the entry.
    fn entered(&mut self, client: usize, new: &NewEntry<'_>, standing: Standing) -> Result<(), Failure> {
        let place = self.entries.iter().position(|(_, entry)| entry.nonce == new.nonce);
        let before = place.unwrap_or(self.entries.len());
        let expected = self.blocker(new.mode, new.limit.get(), before);
        let (ticket, blocked_by) = match standing {
            Standing::Admitted(ticket) => (Some(ticket), None),
            Standing::Waiting { ticket, blocked_by } => (Some(ticket), Some(blocked_by)),
            Standing::Withdrawn { blocked_by } => (None, Some(blocked_by)),
            other => panic!("expected: an outcome that the model knows\nactual: {other:?}"),
        };
        ensure_eq!(blocked_by, expected, "{new:?} behind {:?}", self.present());
        let withdraws = place.is_none() && expected.is_some() && new.if_blocked == IfBlocked::Withdraw;
        ensure_eq!(ticket.is_none(), withdraws, "{new:?}: {standing:?}");
        let Some(Ticket { seq, nonce, mode, limit }) = ticket else { return Ok(()) };
        match place {
            Some(place) => ensure_eq!(seq, self.entries[place].1.seq),
            None => {
                ensure!(seq > self.last, "{seq} does not rise above {}", self.last);
                self.last = seq;
                let entry = Entry { seq, nonce, key: None, mode, limit, value: new.value.to_vec() };
                self.entries.push((client, entry));
            }
        }
        Ok(())
    }
}

pub(super) fn ticket_of(entry: &Entry) -> Ticket {
    Ticket { seq: entry.seq, nonce: entry.nonce, mode: entry.mode, limit: entry.limit }
}

fn random_entry(random: &mut StdRng) -> NewEntry<'static> {
    let mode = match random.random_range(0..10) {
        0..5 => Mode::Exclusive,
        5..9 => Mode::Shared,
        _ => Mode::Member,
    };
    let if_blocked = if random.random_bool(0.8) { IfBlocked::Wait } else { IfBlocked::Withdraw };
    NewEntry { if_blocked, value: b"v", ..entry(mode, random.random_range(1..4)) }
}

/// One random verb, by a random client, on the roster and on the model.
async fn step(clients: &[Client], roster: &Roster, model: &mut Model, random: &mut StdRng) -> Result<(), Failure> {
    let by = random.random_range(0..clients.len());
    let picked = (!model.entries.is_empty()).then(|| random.random_range(0..model.entries.len()));
    match (random.random_range(0..12), picked) {
        (0..5, _) | (_, None) => {
            let new = random_entry(random);
            model.entered(by, &new, clients[by].enter(roster, new).await?)?;
        }
        (5, Some(place)) => {
            let (owner, entry) = &model.entries[place];
            let (owner, nonce, mode, limit) = (*owner, entry.nonce, entry.mode, entry.limit);
            let again = NewEntry { nonce, limit, ..crate::trials::fixtures::entry(mode, 1) };
            model.entered(owner, &again, clients[owner].enter(roster, again).await?)?;
        }
        (6 | 7, Some(place)) => {
            let (owner, entry) = model.entries.remove(place);
            ensure!(clients[owner].leave(roster, &ticket_of(&entry)).await?);
        }
        (8, Some(place)) => {
            let (owner, entry) = model.entries.remove(place);
            clients[owner].withdraw(roster, entry.nonce).await?;
        }
        (9, Some(place)) => {
            let (_, entry) = model.entries.remove(place);
            ensure!(clients[by].evict(roster, entry.seq).await?);
        }
        (10, Some(place)) => {
            let (owner, entry) = &mut model.entries[place];
            entry.value = random.random::<[u8; 4]>().to_vec();
            clients[*owner].replace(roster, &ticket_of(entry), &entry.value).await?;
        }
        (_, Some(place)) => {
            let (owner, entry) = &model.entries[place];
            let wrong = Ticket { nonce: Nonce::random(), ..ticket_of(entry) };
            ensure!(!clients[*owner].leave(roster, &wrong).await?);
        }
    }
    Ok(())
}

pub(super) async fn three_clients(context: &Context) -> Result<Vec<Client>, Failure> {
    futures_util::future::try_join_all(["a", "b", "c"].map(|member| Client::open(context, member))).await
}

async fn standing_agrees_with_admission(context: Context) -> Result<(), Failure> {
    let (clients, mut random) = (three_clients(&context).await?, seeded());
    let (roster, mut model) = (roster(Kind::Lock, "random"), Model::default());
    for number in 0..STEPS {
        step(&clients, &roster, &mut model, &mut random).await?;
        let entries = clients[number % clients.len()].entries(&roster).await?;
        ensure_eq!(entries, model.present(), "after step {number}");
    }
    Ok(())
}

async fn await_turn_agrees_with_the_provided_one(context: Context) -> Result<(), Failure> {
    let (clients, mut random) = (three_clients(&context).await?, seeded());
    for round in 0..4 {
        let (roster, mut model) = (roster(Kind::Lock, format!("random {round}")), Model::default());
        for _ in 0..12 {
            let new = NewEntry { if_blocked: IfBlocked::Wait, ..random_entry(&mut random) };
            let by = random.random_range(0..clients.len());
            model.entered(by, &new, clients[by].enter(&roster, new).await?)?;
        }
        while !model.entries.is_empty() {
            compare_turns(&clients, &roster, &model).await?;
            let (owner, entry) = model.entries.remove(random.random_range(0..model.entries.len()));
            ensure!(clients[owner].leave(&roster, &ticket_of(&entry)).await?);
        }
    }
    Ok(())
}

/// Calls `await_turn` for the last admitted entry and for the first waiter. A snapshot shows what the provided
/// implementation would return.
async fn compare_turns(clients: &[Client], roster: &Roster, model: &Model) -> Result<(), Failure> {
    let present = model.present();
    let (admitted, waiting) = admission::partition(&present);
    for entry in admitted.last().into_iter().chain(waiting.first()) {
        let owner = model.entries.iter().find(|(_, other)| other.seq == entry.seq).map_or(0, |(by, _)| *by);
        let (client, ticket) = (&clients[owner], ticket_of(entry));
        let turn = client.await_turn(roster, &ticket);
        match admission::blocker_of(&client.entries(roster).await?, &ticket)? {
            None => soon("the turn of one that is admitted", turn).await?,
            Some(blocked_by) => {
                let early = tokio::time::timeout(Duration::from_millis(15), turn).await;
                ensure!(early.is_err(), "{early:?} although {blocked_by} blocks {} in {present:?}", entry.seq);
            }
        }
    }
    Ok(())
}

/// Entries of a semaphore, or of different limits and modes, wait in the background while random ones are removed.
async fn each_waiter_is_admitted_as_soon_as_it_must_be(context: Context) -> Result<(), Failure> {
    let (clients, mut random) = (three_clients(&context).await?, seeded());
    for round in 0..6 {
        let roster = roster(Kind::Semaphore, format!("background {round}"));
        let (mut model, mut turns) = (Model::default(), HashMap::new());
        for _ in 0..12 {
            let new = match round % 2 {
                0 => entry(Mode::Exclusive, 3),
                _ => NewEntry { if_blocked: IfBlocked::Wait, ..random_entry(&mut random) },
            };
            let by = random.random_range(0..clients.len());
            model.entered(by, &new, clients[by].enter(&roster, new).await?)?;
            if let Some((_, entry)) = model.entries.last() {
                turns.insert(entry.seq, clients[by].wait_in_background(&roster, ticket_of(entry)));
            }
        }
        while !model.entries.is_empty() {
            let present = model.present();
            let (admitted, waiting) = admission::partition(&present);
            for entry in admitted {
                if let Some(turn) = turns.remove(&entry.seq) {
                    ends("the turn of one that must be admitted", turn).await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            let early = waiting.iter().find(|entry| turns[&entry.seq].is_finished());
            ensure!(early.is_none(), "{early:?} does not wait any more in {present:?}");
            let removed = random.random_range(0..model.entries.len());
            let (owner, entry) = model.entries.remove(removed);
            match random.random_range(0..3) {
                0 => clients[owner].withdraw(&roster, entry.nonce).await?,
                1 => drop(clients[random.random_range(0..clients.len())].evict(&roster, entry.seq).await?),
                _ => drop(clients[owner].leave(&roster, &ticket_of(&entry)).await?),
            }
        }
    }
    Ok(())
}
