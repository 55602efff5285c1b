//! `follow`: the updates of a follower lead through all states of the roster, in order.

use rand::Rng;
use rand::rngs::StdRng;
use tooz_core::driver::{
    Change, Entry, Follow, FollowBySnapshots, IfTaken, Mode, NewEntry, Roster, Seq, Snapshot, Ticket, Update,
};
use tooz_core::{ErrorKind, Result};

use super::model::{seeded, three_clients, ticket_of};
use crate::trials::fixtures::{Client, admitted, entry, fails, group, limit, member, not_now, poll_then_drop, soon};
use crate::{Context, Failure, ensure, ensure_eq};

rule_trials! {
    R7:
    follow_reports_the_end_of_a_session;
    R19:
    follow_agrees_with_the_provided_one,
    follow_begins_with_what_was_done_before,
    follow_waits_until_something_changes;
}

const BURSTS: usize = 40;

/// What a follower knows of its roster. Each update must fit the one before.
#[derive(Debug, Default)]
struct Followed {
    declared: bool,
    entries: Vec<Entry>,
    last: Seq,
    has_begun: bool,
}

impl Followed {
    fn apply(&mut self, update: Update) -> Result<(), Failure> {
        match update {
            Update::Snapshot(Snapshot { declared, entries, .. }) => {
                (self.declared, self.entries, self.has_begun) = (declared, entries, true);
                self.last = self.entries.last().map_or(self.last, |entry| entry.seq.max(self.last));
            }
            Update::Changes(changes) => {
                ensure!(self.has_begun, "{changes:?} came before a snapshot");
                changes.into_iter().try_for_each(|change| self.change(change))?;
            }
            other => return Err(Failure::new(format!("an unknown update: {other:?}"))),
        }
        Ok(())
    }

    fn is_at(&self, (declared, entries): &(bool, Vec<Entry>)) -> bool {
        self.declared == *declared && self.entries == *entries
    }

    fn change(&mut self, change: Change) -> Result<(), Failure> {
        let unknown = |seq| Failure::new(format!("expected: a change of an entry that is there\nactual: {seq} is not"));
        let place = |seq| self.entries.iter().position(|entry| entry.seq == seq).ok_or_else(|| unknown(seq));
        match change {
            Change::Entered(entry) => {
                ensure!(entry.seq > self.last, "{entry:?} entered after {}", self.last);
                self.last = entry.seq;
                self.entries.push(entry);
            }
            Change::Left(seq) => drop(self.entries.remove(place(seq)?)),
            Change::Replaced { seq, value } => {
                let place = place(seq)?;
                self.entries[place].value = value;
            }
            Change::Declared(declared) => {
                ensure!(declared != self.declared, "declared was {declared} before");
                self.declared = declared;
            }
            other => return Err(Failure::new(format!("an unknown change: {other:?}"))),
        }
        Ok(())
    }
}

/// Every state that the roster has had, and the owners of the present entries.
#[derive(Debug)]
struct History {
    roster: Roster,
    declared: bool,
    entries: Vec<(usize, Entry)>,
    states: Vec<(bool, Vec<Entry>)>,
}

impl History {
    fn new(roster: Roster) -> Self {
        Self { roster, declared: false, entries: Vec::new(), states: vec![(false, Vec::new())] }
    }

    /// One random verb, by a random client.
    async fn step(&mut self, clients: &[Client], random: &mut StdRng) -> Result<(), Failure> {
        let by = random.random_range(0..clients.len());
        let picked = (!self.entries.is_empty()).then(|| random.random_range(0..self.entries.len()));
        match (random.random_range(0..12), picked) {
            (0, _) => self.declared |= clients[by].declare(&self.roster).await?,
            (1, _) => match clients[by].retract(&self.roster).await {
                Ok(()) => self.declared = false,
                refused if self.declared => fails(refused, ErrorKind::GroupNotEmpty),
                refused => fails(refused, ErrorKind::GroupNotCreated),
            },
            (2..7, _) | (_, None) => self.enter(clients, by, random).await?,
            (7, Some(place)) => {
                let (owner, entry) = self.entries.remove(place);
                ensure!(clients[owner].leave(&self.roster, &ticket_of(&entry)).await?);
            }
            (8, Some(place)) => {
                let (owner, entry) = self.entries.remove(place);
                clients[owner].withdraw(&self.roster, entry.nonce).await?;
            }
            (9, Some(place)) => {
                let (_, entry) = self.entries.remove(place);
                ensure!(clients[by].evict(&self.roster, entry.seq).await?);
            }
            (_, Some(place)) => {
                let (owner, entry) = &mut self.entries[place];
                entry.value = vec![random.random_range(0..3)];
                clients[*owner].replace(&self.roster, &ticket_of(entry), &entry.value).await?;
            }
        }
        self.states.push((self.declared, self.entries.iter().map(|(_, entry)| entry.clone()).collect()));
        Ok(())
    }

    async fn enter(&mut self, clients: &[Client], by: usize, random: &mut StdRng) -> Result<(), Failure> {
        let key = [random.random_range(b'a'..b'f')];
        let if_taken = if random.random_bool(0.5) { IfTaken::Refuse } else { IfTaken::TakeOver };
        let new = NewEntry { value: &key, ..member(&key, if_taken) };
        let taken = self.entries.iter().position(|(_, entry)| entry.key.as_deref() == Some(&key));
        let outcome = clients[by].enter(&self.roster, new).await;
        if taken.is_some() && if_taken == IfTaken::Refuse {
            fails(outcome, ErrorKind::MemberAlreadyExists);
            return Ok(());
        }
        taken.map(|place| self.entries.remove(place));
        let Ticket { seq, nonce, mode, limit, .. } = admitted(outcome?);
        self.entries.push((by, Entry { seq, nonce, key: Some(key.to_vec()), mode, limit, value: key.to_vec() }));
        Ok(())
    }

    /// Reads updates until the follower has the present state. `place` is the state that it has had last.
    async fn catch_up(
        &self,
        follower: &mut dyn Follow,
        followed: &mut Followed,
        place: &mut usize,
        random: &mut StdRng,
    ) -> Result<(), Failure> {
        while !followed.has_begun || !followed.is_at(&self.states[self.states.len() - 1]) {
            let update = match poll_then_drop(random.random_range(0..4), follower.next()).await {
                Some(update) => update?,
                None => soon("the next update", follower.next()).await?,
            };
            let shown = format!("{update:?}");
            followed.apply(update)?;
            let next = self.states[*place..].iter().position(|state| followed.is_at(state));
            let Some(next) = next else {
                let states = &self.states[*place..];
                return Err(Failure::new(format!(
                    "expected: one of these states, which the roster has had since the last update: {states:?}\n\
                     actual: {followed:?} after {shown}"
                )));
            };
            // The follower may still lag where an earlier state equals the present one.
            *place += next;
        }
        Ok(())
    }
}

async fn follow_agrees_with_the_provided_one(context: Context) -> Result<(), Failure> {
    let (clients, mut random) = (three_clients(&context).await?, seeded());
    let (session, roster) = (clients[2].session(), group());
    let mut history = History::new(roster.clone());
    let mut followers: [(Box<dyn Follow + '_>, Followed, usize); 2] = [
        (session.follow(&roster), Followed::default(), 0),
        (Box::new(FollowBySnapshots::new(&*session, &roster)), Followed::default(), 0),
    ];
    for _ in 0..BURSTS {
        for _ in 0..random.random_range(1..6) {
            history.step(&clients, &mut random).await?;
        }
        for (follower, followed, place) in &mut followers {
            history.catch_up(&mut **follower, followed, place, &mut random).await?;
        }
        if random.random_bool(0.2) {
            let mut new = session.follow(&roster);
            let mut followed = Followed::default();
            followed.apply(soon("the first update", new.next()).await?)?;
            let place = history.states.len() - 1;
            ensure!(followed.is_at(&history.states[place]), "{followed:?} is not the present");
            followers[0] = (new, followed, place);
        }
    }
    Ok(())
}

async fn follow_begins_with_what_was_done_before(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let session = b.session();
    let mut earlier = session.follow(&roster);
    soon("the first update of an earlier follower", earlier.next()).await?;
    for count in 1..=10 {
        a.enter(&roster, entry(Mode::Member, 1)).await?;
        let mut followed = Followed::default();
        followed.apply(soon("the first update", session.follow(&roster).next()).await?)?;
        ensure_eq!(followed.entries.len(), count);
    }
    Ok(())
}

async fn follow_reports_the_end_of_a_session(context: Context) -> Result<(), Failure> {
    let (dying, b) = (Client::open_without_renewal(&context, "a").await?, Client::open(&context, "b").await?);
    let (session, roster) = (b.session(), group());
    let own = admitted(b.enter(&roster, entry(Mode::Member, 1)).await?);
    for _ in 0..3 {
        dying.enter(&roster, NewEntry { limit: limit(2), ..entry(Mode::Member, 1) }).await?;
    }
    let (mut follower, mut followed) = (session.follow(&roster), Followed::default());
    followed.apply(soon("the first update", follower.next()).await?)?;
    if dying.ttl().is_none() {
        dying.close().await?;
    }
    while followed.entries.len() != 1 {
        followed.apply(soon("an update after the end of the session", follower.next()).await?)?;
    }
    ensure_eq!(followed.entries[0].seq, own.seq);
    Ok(())
}

async fn follow_waits_until_something_changes(context: Context) -> Result<(), Failure> {
    let (a, b, roster) = (Client::open(&context, "a").await?, Client::open(&context, "b").await?, group());
    let session = b.session();
    for used in [false, true] {
        if used {
            a.hold(&roster).await?;
        }
        let mut follower = session.follow(&roster);
        soon("the first update", follower.next()).await?;
        not_now("an update although nothing has changed", follower.next()).await;
    }
    Ok(())
}
