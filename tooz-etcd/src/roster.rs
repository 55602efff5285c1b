//! The other verbs of a roster. Each is one transaction, but for `evict`, which must find the entry first.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, SortOrder, SortTarget, Txn, TxnOp};
use tooz_core::driver::{Kind, Mode, Nonce, Roster, Seq, Snapshot, Standing, Ticket, Version};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::lock;
use crate::enter::{is_empty, nearest_first};
use crate::error::{not_held, session_lost, unexpected_answer};
use crate::layout::{KeyRange, RosterKeys, declared_name, entry_value, nonce_of, revision};
use crate::session::{EtcdSession, gets};
use crate::watch::Events;

/// Up to this many blockers are watched one by one, so that only the next in line wake; above it, the whole roster is.
const WATCHED_ONE_BY_ONE: usize = 16;

/// An entry that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocker {
    key: Vec<u8>,
    revision: i64,
}

/// What keeps an entry waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blockers {
    /// The nearest conflicting entries before it, as many as its limit, latest first.
    nearest: Vec<Blocker>,
    /// There is none before these, so that the entry is admitted when one of them goes: entries come after it only.
    alone: bool,
}

/// The place of an entry among those that conflict with it.
#[derive(Debug)]
pub(crate) enum Turn {
    Admitted,
    Blocked(Blockers),
}

impl Blockers {
    /// The blocker, if nothing else stands in the way.
    fn only(&self) -> Option<&Blocker> {
        self.nearest.first().filter(|_| self.alone && self.nearest.len() == 1)
    }
}

impl Turn {
    /// `before`: the conflicting entries before it, latest first; one more than the limit at least, if there are.
    pub(crate) fn new(mut before: Vec<KeyValue>, limit: NonZeroU32) -> Self {
        let limit = limit.get() as usize;
        if before.len() < limit {
            return Self::Admitted;
        }
        let alone = before.len() == limit;
        before.truncate(limit);
        let blocker = |stored: KeyValue| Blocker { revision: stored.create_revision(), key: stored.into_key_value().0 };
        Self::Blocked(Blockers { nearest: before.into_iter().map(blocker).collect(), alone })
    }

    pub(crate) fn standing(&self, ticket: Ticket) -> Standing {
        match self {
            Self::Blocked(Blockers { nearest, .. }) if !nearest.is_empty() => {
                Standing::Waiting { ticket, blocked_by: Seq(nearest[0].revision.unsigned_abs()) }
            }
            _ => Standing::Admitted(ticket),
        }
    }
}

impl EtcdSession {
    pub(crate) async fn leave_roster(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let key = self.key_of(&self.layout.roster(roster), ticket);
        let txn = Txn::new().when(self.stands(&key, ticket)).and_then([TxnOp::delete(key, None)]);
        let left = self.client.txn(txn.or_else([self.look_at_session()])).await?;
        lock(&self.blockers).remove(&ticket.nonce);
        let outcome = if left.succeeded() { Ok(true) } else { self.session_lives(gets(&left)).map(|()| false) };
        lock(&self.unique).remove(&ticket.nonce);
        outcome
    }

    pub(crate) async fn withdraw_entry(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.remember_withdrawn(nonce);
        let keys = self.layout.roster(roster);
        let unique = lock(&self.unique).get(&nonce).cloned();
        let operations = [Mode::Exclusive, Mode::Shared, Mode::Member]
            .into_iter()
            .map(|mode| keys.entry(mode, unique.as_deref(), nonce))
            .map(|key| Txn::new().when([self.is_ours(&key)]).and_then([TxnOp::delete(key, None)]))
            .map(TxnOp::txn)
            .collect();
        lock(&self.blockers).remove(&nonce);
        self.raise_gate(operations).await?;
        lock(&self.unique).remove(&nonce);
        Ok(())
    }

    pub(crate) async fn replace_value(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let key = self.key_of(&self.layout.roster(roster), ticket);
        let put = TxnOp::put(key.clone(), entry_value(ticket.limit, value), self.bound());
        let answer = self.gated_txn(self.stands(&key, ticket).to_vec(), vec![put], Vec::new()).await?;
        if answer.succeeded() { Ok(()) } else { Err(not_held()) }
    }

    pub(crate) async fn evict_entry(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let Ok(revision) = i64::try_from(seq.0) else { return Ok(false) };
        let entries = self.layout.roster(roster).entries();
        let options = GetOptions::new().with_range(entries.end).with_keys_only();
        let options = options.with_min_create_revision(revision).with_max_create_revision(revision);
        let start = entries.start;
        let found = self
            .client
            .call(self.client.timeout(), |mut connection| async move { connection.kv.get(start, Some(options)).await });
        let Some(entry) = found.await?.take_kvs().pop() else { return Ok(false) };
        let same = Compare::create_revision(entry.key(), CompareOp::Equal, revision);
        let answer = self.client.txn(Txn::new().when([same]).and_then(self.removal(&entry))).await?;
        Ok(answer.succeeded())
    }

    /// Removes somebody's entry and leaves a note for its session. The note is bound to that session's lease.
    pub(crate) fn removal(&self, entry: &KeyValue) -> Vec<TxnOp> {
        let mut operations = vec![TxnOp::delete(entry.key(), None)];
        if let Some(nonce) = nonce_of(entry)
            && entry.lease() != 0
        {
            let bound = PutOptions::new().with_lease(entry.lease());
            operations.push(TxnOp::put(self.layout.eviction(entry.lease(), nonce), self.session_value(), Some(bound)));
        }
        operations
    }

    pub(crate) async fn newer_snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let declared = KeyRange::key(self.layout.declared(roster));
        let watched = vec![(self.layout.roster(roster).entries(), Events::All), (declared, Events::All)];
        let mut subscription = newer_than.and_then(|_| self.watches.kept(&watched));
        loop {
            if let Some(subscription) = &mut subscription {
                subscription.mark();
            }
            let snapshot = self.read_snapshot(roster).await?;
            if newer_than != Some(snapshot.version) {
                self.watches.keep(subscription);
                return Ok(snapshot);
            }
            match &mut subscription {
                Some(subscription) => subscription.changed().await?,
                None => subscription = Some(self.watches.subscribe(watched.clone()).await?),
            }
        }
    }

    async fn read_snapshot(&self, roster: &Roster) -> Result<Snapshot> {
        let keys = self.layout.roster(roster);
        let entries = keys.entries();
        let in_order = GetOptions::new().with_range(entries.end).with_sort(SortTarget::Create, SortOrder::Ascend);
        let declared = TxnOp::get(self.layout.declared(roster), Some(GetOptions::new().with_keys_only()));
        let txn = Txn::new()
            .when([Compare::create_revision(self.session_key.clone(), CompareOp::Greater, 0)])
            .and_then([TxnOp::get(entries.start, Some(in_order)), declared]);
        let answer = self.client.txn(txn).await?;
        if !answer.succeeded() {
            return Err(session_lost());
        }
        let mut ranges = gets(&answer);
        let stored = ranges.next().ok_or_else(unexpected_answer)?;
        let declared = ranges.next().ok_or_else(unexpected_answer)?.pop();
        let version = version_of(&stored, declared.as_ref());
        let entries = stored.iter().map(|stored| keys.parse(stored)).collect::<Result<_>>()?;
        Ok(Snapshot { version, declared: declared.is_some(), entries })
    }

    /// Wakes when one of the blockers or our own entry is gone, and looks again unless that says it all.
    ///
    /// An entry with limit n is blocked by n entries or more. As long as the n nearest of them stand, so it stays,
    /// whoever else leaves; so it is enough to watch these.
    pub(crate) async fn wait_for_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let keys = self.layout.roster(roster);
        let key = self.key_of(&keys, ticket);
        let remembered = lock(&self.blockers).remove(&ticket.nonce);
        let mut blockers = match remembered {
            Some(blockers) => blockers,
            None => match self.turn(&keys, &key, ticket).await? {
                Turn::Admitted => return Ok(()),
                Turn::Blocked(blockers) => blockers,
            },
        };
        let one_by_one = ticket.limit.get() as usize <= WATCHED_ONE_BY_ONE;
        loop {
            let only = blockers.only();
            let mut subscription = match only {
                Some(only) => {
                    let both = (KeyRange::between(&key, &only.key), Events::Deletes);
                    self.watches.subscribe_telling(vec![both], &[&*key, &*only.key]).await?
                }
                None => {
                    let ranges = self.ranges_to_watch(&keys, ticket.mode, &key, &blockers.nearest);
                    self.watches.subscribe(ranges).await?
                }
            };
            // What happened before the watch began is not told by it.
            let mut wait = one_by_one && self.still_blocked(&key, ticket, &blockers.nearest).await?;
            blockers = loop {
                if wait {
                    subscription.changed().await?;
                    match only.filter(|_| !subscription.has_seen(&key)) {
                        // The only one that stood before ours has gone, and ours had not by then.
                        Some(only) if subscription.has_seen(&only.key) => return Ok(()),
                        Some(_) => continue,
                        None => {}
                    }
                }
                match self.turn(&keys, &key, ticket).await? {
                    Turn::Admitted => return Ok(()),
                    Turn::Blocked(others) if one_by_one && others != blockers => break others,
                    Turn::Blocked(_) => wait = true,
                }
            };
        }
    }

    /// Whether our entry and all of its blockers stand: cheap, however long the line is.
    async fn still_blocked(&self, key: &[u8], ticket: &Ticket, blockers: &[Blocker]) -> Result<bool> {
        let stands = |blocker: &Blocker| Compare::create_revision(&*blocker.key, CompareOp::Equal, blocker.revision);
        let mut compares = self.stands(key, ticket).to_vec();
        compares.extend(blockers.iter().map(stands));
        Ok(self.client.txn(Txn::new().when(compares)).await?.succeeded())
    }

    fn ranges_to_watch(
        &self,
        keys: &RosterKeys,
        mode: Mode,
        own: &[u8],
        blockers: &[Blocker],
    ) -> Vec<(KeyRange, Events)> {
        let own = KeyRange::key(own);
        let ranges = match keys.conflicting(mode).filter(|_| blockers.len() > WATCHED_ONE_BY_ONE) {
            Some(all) => vec![all, own],
            None => blockers.iter().map(|blocker| KeyRange::key(&*blocker.key)).chain([own]).collect(),
        };
        ranges.into_iter().map(|range| (range, Events::Deletes)).collect()
    }

    /// Reads that the entry stands, and what blocks it.
    pub(crate) async fn turn(&self, keys: &RosterKeys, key: &[u8], ticket: &Ticket) -> Result<Turn> {
        let look = keys.conflicting(ticket.mode).map(|range| {
            let earlier = nearest_first(&range).with_max_create_revision(revision(ticket) - 1);
            TxnOp::get(range.start, Some(earlier.with_limit(i64::from(ticket.limit.get()) + 1)))
        });
        let txn = Txn::new().when(self.stands(key, ticket)).and_then(look.into_iter().collect::<Vec<_>>());
        let answer = self.client.txn(txn.or_else([self.look_at_session()])).await?;
        if !answer.succeeded() {
            self.session_lives(gets(&answer))?;
            return Err(not_held());
        }
        Ok(Turn::new(gets(&answer).next().unwrap_or_default(), ticket.limit))
    }

    pub(crate) async fn declare_roster(&self, roster: &Roster) -> Result<bool> {
        let key = self.layout.declared(roster);
        let absent = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
        let answer = self.gated_txn(vec![absent], vec![TxnOp::put(key, "", None)], Vec::new()).await?;
        Ok(answer.succeeded())
    }

    pub(crate) async fn retract_roster(&self, roster: &Roster) -> Result<()> {
        let key = self.layout.declared(roster);
        let exists = Compare::create_revision(key.clone(), CompareOp::Greater, 0);
        let empty = is_empty(self.layout.roster(roster).entries());
        let delete = TxnOp::delete(key.clone(), None);
        let look = TxnOp::get(key, Some(GetOptions::new().with_keys_only()));
        let answer = self.gated_txn(vec![exists, empty], vec![delete], vec![look]).await?;
        if answer.succeeded() {
            return Ok(());
        }
        Err(match gets(&answer).nth(1).and_then(|mut found| found.pop()) {
            Some(_) => Error::new(ErrorKind::GroupNotEmpty, "the group still has members; they must leave first"),
            None => Error::new(ErrorKind::GroupNotCreated, "the group does not exist"),
        })
    }

    pub(crate) async fn declared_rosters(&self, kind: Kind) -> Result<Vec<Name>> {
        let range = self.layout.all_declared(kind);
        let options = GetOptions::new().with_range(range.end).with_keys_only();
        let found = self.client.call(self.client.timeout(), |mut connection| async move {
            connection.kv.get(range.start, Some(options)).await
        });
        let mut names = found.await?.kvs().iter().map(declared_name).collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// The key of our own entry.
    fn key_of(&self, keys: &RosterKeys, ticket: &Ticket) -> Vec<u8> {
        let unique = lock(&self.unique).get(&ticket.nonce).cloned();
        keys.entry(ticket.mode, unique.as_deref(), ticket.nonce)
    }

    /// Whether the entry stands as in the ticket, and is ours.
    fn stands(&self, key: &[u8], ticket: &Ticket) -> [Compare; 2] {
        [Compare::create_revision(key, CompareOp::Equal, revision(ticket)), self.is_ours(key)]
    }

    fn is_ours(&self, key: &[u8]) -> Compare {
        Compare::lease(key, CompareOp::Equal, self.lease.id)
    }

    fn look_at_session(&self) -> TxnOp {
        TxnOp::get(self.session_key.clone(), Some(GetOptions::new().with_keys_only()))
    }

    /// Whether the answer to [`Self::look_at_session`], the first of `ranges`, shows a session.
    fn session_lives(&self, mut ranges: impl Iterator<Item = Vec<KeyValue>>) -> Result<()> {
        let session = ranges.next().ok_or_else(unexpected_answer)?.pop();
        session.map(drop).ok_or_else(session_lost)
    }
}

/// A key's mod revision tells its content, so these tell that of the roster.
fn version_of(stored: &[KeyValue], declared: Option<&KeyValue>) -> Version {
    let mut hasher = DefaultHasher::new();
    for stored in stored {
        (stored.key(), stored.mod_revision()).hash(&mut hasher);
    }
    declared.map(KeyValue::mod_revision).hash(&mut hasher);
    Version(hasher.finish())
}
