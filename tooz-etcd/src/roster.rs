//! The other verbs of a roster, but for waiting. Each is one transaction, but for `evict`, which must find the entry first.

use std::hash::{DefaultHasher, Hash, Hasher};

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, SortOrder, SortTarget, Txn, TxnOp};
use tooz_core::driver::{Kind, Nonce, Roster, Seq, Snapshot, Ticket, Version};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::lock;
use crate::enter::is_empty;
use crate::error::{not_held, session_lost, unexpected_answer};
use crate::layout::{Head, KeyRange, RosterKeys, declared_name, revision};
use crate::session::{EtcdSession, gets};
use crate::watch::Events;

impl EtcdSession {
    pub(crate) async fn leave_roster(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let Some(key) = self.key_of(&self.layout.roster(roster), ticket) else {
            return self.check_session().await.map(|()| false);
        };
        let txn = Txn::new().when([stands(&key, ticket)]).and_then([TxnOp::delete(key.clone(), None)]);
        let left = self.client.txn(txn).await?.succeeded();
        lock(&self.waiting).remove(&ticket.nonce);
        if left {
            self.places.give_back(ticket.nonce);
            return Ok(true);
        }
        let look = TxnOp::get(key, Some(GetOptions::new().with_keys_only()));
        let found = self.client.txn(Txn::new().and_then([self.look_at_session(), look])).await?;
        let mut found = gets(&found);
        self.session_lives(&mut found)?;
        // What stands there may be told by another ticket.
        if found.next().is_some_and(|found| found.is_empty()) {
            self.places.forsake(ticket.nonce);
        }
        Ok(false)
    }

    pub(crate) async fn withdraw_entry(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.remember_withdrawn(nonce);
        let keys = self.layout.roster(roster);
        let key = self.places.key_to_withdraw(nonce).filter(|key| keys.contain(key));
        lock(&self.waiting).remove(&nonce);
        self.raise_gate(key.map(|key| TxnOp::delete(key, None)).into_iter().collect()).await?;
        self.places.forsake(nonce);
        Ok(())
    }

    pub(crate) async fn replace_value(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let Some(key) = self.key_of(&self.layout.roster(roster), ticket) else {
            return self.check_session().await.and(Err(not_held()));
        };
        let stored = Head { nonce: ticket.nonce, limit: ticket.limit, line: None }.before(value);
        let put = TxnOp::put(key.clone(), stored, self.bound());
        let answer = self.gated_txn(vec![stands(&key, ticket)], vec![put], Vec::new()).await?;
        if answer.succeeded() { Ok(()) } else { Err(not_held()) }
    }

    pub(crate) async fn evict_entry(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let Ok(revision) = i64::try_from(seq.0) else { return Ok(false) };
        let entries = self.layout.roster(roster).entries();
        let options = GetOptions::new().with_range(entries.end);
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
        if let Some((Head { nonce, .. }, _)) = Head::parse(entry.value())
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

    /// The key of our own entry, if it may stand.
    pub(crate) fn key_of(&self, keys: &RosterKeys, ticket: &Ticket) -> Option<Vec<u8>> {
        self.places.key(ticket.nonce).filter(|key| keys.may_have(ticket.mode, key))
    }

    /// Fails if the session is over.
    pub(crate) async fn check_session(&self) -> Result<()> {
        let answer = self.client.txn(Txn::new().and_then([self.look_at_session()])).await?;
        self.session_lives(gets(&answer))
    }

    pub(crate) fn look_at_session(&self) -> TxnOp {
        TxnOp::get(self.session_key.clone(), Some(GetOptions::new().with_keys_only()))
    }

    /// Whether the answer to [`Self::look_at_session`], the first of `ranges`, shows a session.
    pub(crate) fn session_lives(&self, mut ranges: impl Iterator<Item = Vec<KeyValue>>) -> Result<()> {
        let session = ranges.next().ok_or_else(unexpected_answer)?.pop();
        session.map(drop).ok_or_else(session_lost)
    }
}

/// Whether our entry stands as in the ticket.
pub(crate) fn stands(key: &[u8], ticket: &Ticket) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, revision(ticket))
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
