//! Entering a roster: one transaction that compares, puts and says what blocks; see [`EtcdSession::enter_roster`].

use std::collections::VecDeque;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, SortOrder, SortTarget, Txn, TxnOp, TxnResponse};
use tokio::time::Instant;
use tooz_core::driver::{IfBlocked, IfTaken, NewEntry, Roster, Standing, Ticket};
use tooz_core::{Error, ErrorKind, Result};

use crate::client::lock;
use crate::error::{session_lost, unexpected_answer};
use crate::layout::{Head, KeyRange, RosterKeys, seq};
use crate::session::{EtcdSession, gets, revision_of};
use crate::turn::{Turn, Waiting};

/// What an attempt that failed has shown, for the next one.
#[derive(Debug, Default)]
struct Seen {
    /// The entry with our unique key, which we may take over.
    namesake: Option<KeyValue>,
    /// At this revision fewer entries than the limit were in the way. If none was added since, there is still room.
    room_at: Option<i64>,
}

/// An entry that is about to enter, with its keys.
struct Entering<'a> {
    entry: NewEntry<'a>,
    keys: RosterKeys,
    key: Vec<u8>,
    declared: Option<Vec<u8>>,
    unique: Option<(&'a [u8], IfTaken)>,
    conflicting: Option<KeyRange>,
}

/// What the failure branch of the transaction read.
struct Found {
    ours: Option<KeyValue>,
    session: Option<KeyValue>,
    declared: bool,
    namesake: Option<KeyValue>,
    conflicting: Vec<KeyValue>,
}

impl EtcdSession {
    /// One transaction in all cases but these: a nonce that stands already (two), a take-over (two), a semaphore that
    /// is tried while somebody else holds a place (two), a request of unknown outcome before (one or two more), and each
    /// time another client came in between (one more). Only a transaction that certainly did nothing is followed by
    /// another.
    pub(crate) async fn enter_roster(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let entering = Entering::new(self, roster, entry);
        self.settle_doubts().await?;
        let doubt = self.gate.doubt();
        let outcome = doubt.after(self.enter_until(&entering, Instant::now() + self.client.timeout()).await);
        let stands = match &outcome {
            Ok(standing) => !matches!(standing, Standing::Withdrawn { .. }),
            Err(error) => error.is_retryable(),
        };
        if !stands {
            self.places.give_back(entry.nonce);
        }
        outcome
    }

    async fn enter_until(&self, entering: &Entering<'_>, deadline: Instant) -> Result<Standing> {
        let mut seen = Seen::default();
        loop {
            if lock(&self.withdrawn).contains(&entering.entry.nonce) {
                return Err(Error::new(ErrorKind::NotHeld, "the entry was withdrawn"));
            }
            let answer = self.client.txn(entering.txn(self, &seen)).await?;
            if answer.succeeded() {
                let (ticket, turn) = entering.outcome(&answer)?;
                return Ok(self.standing(ticket, turn, entering.entry.value));
            }
            let answer = match entering.looks_at_once() {
                true => answer,
                false => self.client.txn(Txn::new().and_then(entering.looks(self))).await?,
            };
            let found = Found::new(&answer, entering)?;
            match self.after_failure(entering, found, revision_of(&answer)?).await? {
                Ok(standing) => return Ok(standing),
                Err(next) => seen = next,
            }
            if Instant::now() > deadline {
                return Err(Error::new(ErrorKind::Unavailable, "other clients came in between again and again"));
            }
        }
    }

    /// Remembers what blocks the entry, so that who waits for its turn need not read the line again.
    fn standing(&self, ticket: Ticket, turn: Turn, value: &[u8]) -> Standing {
        let standing = turn.standing(ticket);
        if let Turn::Blocked(blockers) = turn {
            lock(&self.waiting).insert(ticket.nonce, Waiting { blockers, value: value.to_vec() });
        }
        standing
    }

    /// What the failed attempt means: a standing, an error, or what the next attempt may build on.
    async fn after_failure(
        &self,
        entering: &Entering<'_>,
        found: Found,
        revision: i64,
    ) -> Result<Result<Standing, Seen>> {
        let NewEntry { nonce, mode, limit, if_blocked, value, .. } = entering.entry;
        let session = found.session.ok_or_else(session_lost)?;
        self.gate.seen(session.mod_revision());
        if let Some(ours) = found.ours {
            let ticket = Ticket { seq: seq(&ours), nonce, mode, limit };
            let (turn, _) = self.turn(&entering.keys, &entering.key, &ticket).await?;
            return Ok(Ok(self.standing(ticket, turn, value)));
        }
        if !found.declared {
            return Err(Error::new(ErrorKind::GroupNotCreated, "the group does not exist; create it first"));
        }
        let mut conflicting = VecDeque::from(found.conflicting);
        match (&found.namesake, entering.unique) {
            (Some(_), Some((_, IfTaken::Refuse))) => {
                let message = "another live session has joined with this member id";
                return Err(Error::new(ErrorKind::MemberAlreadyExists, message));
            }
            (Some(namesake), _) => conflicting.retain(|other| other.key() != namesake.key()),
            (None, _) => {}
        }
        let blocked = conflicting.len() >= limit.get() as usize;
        match conflicting.front() {
            Some(nearest) if blocked && if_blocked == IfBlocked::Withdraw => {
                Ok(Ok(Standing::Withdrawn { blocked_by: seq(nearest) }))
            }
            _ => Ok(Err(Seen { namesake: found.namesake, room_at: Some(revision) })),
        }
    }
}

impl<'a> Entering<'a> {
    fn new(session: &EtcdSession, roster: &Roster, entry: NewEntry<'a>) -> Self {
        let keys = session.layout.roster(roster);
        let unique = entry.unique_key();
        let places = keys.places(entry.mode, unique.map(|(unique, _)| unique), session.lease.id);
        Self {
            key: session.places.take(entry.nonce, places),
            declared: entry.needs_declared.then(|| session.layout.declared(roster)),
            conflicting: keys.conflicting(entry.mode),
            entry,
            keys,
            unique,
        }
    }

    fn txn(&self, session: &EtcdSession, seen: &Seen) -> Txn {
        let txn = Txn::new().when(self.compares(session, seen)).and_then(self.puts(session, seen));
        if self.looks_at_once() { txn.or_else(self.looks(session)) } else { txn }
    }

    /// Whether the transaction itself looks why it fails: one that may do so in ordinary life, for the price of what that
    /// adds to each.
    fn looks_at_once(&self) -> bool {
        self.entry.if_blocked == IfBlocked::Withdraw || self.unique.is_some() || self.declared.is_some()
    }

    fn compares(&self, session: &EtcdSession, seen: &Seen) -> Vec<Compare> {
        let mut compares = vec![Compare::create_revision(self.key.clone(), CompareOp::Equal, 0), session.gate_stands()];
        if let Some(declared) = &self.declared {
            compares.push(Compare::create_revision(declared.clone(), CompareOp::Greater, 0));
        }
        match (&seen.namesake, self.unique) {
            (Some(old), _) => {
                compares.push(Compare::create_revision(old.key(), CompareOp::Equal, old.create_revision()));
            }
            (None, Some((unique, _))) => compares.extend(self.keys.namesakes(unique).into_iter().map(is_empty)),
            (None, None) => {}
        }
        if let (IfBlocked::Withdraw, Some(range)) = (self.entry.if_blocked, &self.conflicting) {
            compares.push(match seen.room_at {
                None => is_empty(range.clone()),
                Some(revision) => none_since(range.clone(), revision),
            });
        }
        compares
    }

    fn puts(&self, session: &EtcdSession, seen: &Seen) -> Vec<TxnOp> {
        let mut operations = Vec::new();
        if let Some(old) = &seen.namesake {
            operations.extend(session.removal(old));
        }
        if self.entry.if_blocked == IfBlocked::Wait {
            // Before the put, so that the server need not read that again.
            operations.extend(self.look_at_conflicting());
        }
        operations.push(TxnOp::put(self.key.clone(), self.stored(), session.bound()));
        operations
    }

    /// The value of its key.
    fn stored(&self) -> Vec<u8> {
        let NewEntry { nonce, limit, value, .. } = self.entry;
        Head { nonce, limit, line: None }.before(value)
    }

    fn looks(&self, session: &EtcdSession) -> Vec<TxnOp> {
        let keys_only = || Some(GetOptions::new().with_keys_only());
        let mut operations =
            vec![TxnOp::get(self.key.clone(), keys_only()), TxnOp::get(session.session_key.clone(), keys_only())];
        operations.extend(self.declared.iter().map(|declared| TxnOp::get(declared.clone(), keys_only())));
        let namesakes = self.unique.map(|(unique, _)| self.keys.namesakes(unique));
        operations.extend(
            namesakes
                .into_iter()
                .flatten()
                .map(|range| TxnOp::get(range.start, Some(GetOptions::new().with_range(range.end)))),
        );
        operations.extend(self.look_at_conflicting());
        operations
    }

    /// Reads the nearest entries that conflict, latest first. One more than the limit: whether there are more matters to
    /// who waits, and a namesake among them will make room.
    fn look_at_conflicting(&self) -> Option<TxnOp> {
        let range = self.conflicting.clone()?;
        let options = nearest_first(&range).with_limit(i64::from(self.entry.limit.get()) + 1);
        Some(TxnOp::get(range.start, Some(options)))
    }

    fn outcome(&self, answer: &TxnResponse) -> Result<(Ticket, Turn)> {
        let NewEntry { nonce, mode, limit, .. } = self.entry;
        let ticket = Ticket { seq: tooz_core::driver::Seq(revision_of(answer)?.unsigned_abs()), nonce, mode, limit };
        Ok((ticket, Turn::new(gets(answer).next().unwrap_or_default(), limit)))
    }
}

impl Found {
    /// Takes the answers in the order of [`Entering::looks`].
    fn new(answer: &TxnResponse, entering: &Entering<'_>) -> Result<Self> {
        let mut ranges = gets(answer);
        let mut next = || ranges.next().ok_or_else(unexpected_answer);
        let ours = next()?.pop();
        let session = next()?.pop();
        let declared = entering.declared.is_none() || !next()?.is_empty();
        let mut namesake = None;
        if entering.unique.is_some() {
            for _ in 0..3 {
                namesake = next()?.pop().or(namesake);
            }
        }
        let conflicting = if entering.conflicting.is_some() { next()? } else { Vec::new() };
        Ok(Self { ours, session, declared, namesake, conflicting })
    }
}

/// Compares a range that has no key as if it had one with create revision 0.
pub(crate) fn is_empty(range: KeyRange) -> Compare {
    Compare::create_revision(range.start, CompareOp::Equal, 0).with_range(range.end)
}

/// True if no key was added to the range after `revision`; keys may have left it.
fn none_since(range: KeyRange, revision: i64) -> Compare {
    Compare::create_revision(range.start, CompareOp::Less, revision + 1).with_range(range.end)
}

/// Keys of a range, those created latest first.
pub(crate) fn nearest_first(range: &KeyRange) -> GetOptions {
    let options = GetOptions::new().with_range(range.end.clone()).with_keys_only();
    options.with_sort(SortTarget::Create, SortOrder::Descend)
}
