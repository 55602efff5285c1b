//! Entering a roster: one transaction compares, reads what blocks the entry, and writes it.
//!
//! - The transaction fails without an effect if the session is over, the entry exists already (an attempt before this one
//!   succeeded), the roster is not declared, the unique key is taken, or an entry that must not wait would be blocked.
//! - Its failure branch reads which of these it was. Where that leaves the entry a chance, the next attempt compares with
//!   what was read: it takes over from exactly that entry, or relies on room that it saw as long as no entry was added.

use std::ops::ControlFlow;

use tokio::time::Instant;
use tooz_core::Result;
use tooz_core::driver::support::{group_not_created, lock, member_already_exists, withdrawn};
use tooz_core::driver::{IfBlocked, IfTaken, NewEntry, Roster, Seq, Standing, Ticket};

use super::position::read_earlier;
use crate::blockers::{Blockers, EntryKey};
use crate::client::{
    Answer, Compare, KeyValue, Txn, TxnOp, absent, created_at, exists, get, get_key, is_empty, none_created_after, put,
};
use crate::error::other_clients_came_between;
use crate::layout::{RosterKeys, entry_value};
use crate::session::EtcdSession;

/// What a failed attempt has read, for the next one.
#[derive(Debug, Default)]
struct Seen {
    /// The entry with the same unique key, which is to be taken over.
    taken_by: Option<KeyValue>,
    /// At this revision, fewer entries than the limit were in the way. If none was added since, there is still room.
    room_at: Option<i64>,
}

/// An entry that is about to enter, with its keys.
struct Entering<'a> {
    entry: NewEntry<'a>,
    keys: RosterKeys,
    key: Vec<u8>,
    declared: Option<Vec<u8>>,
}

impl EtcdSession {
    /// One transaction, except: two for an entry that exists already, a take-over and an attempt at a semaphore that is
    /// partly held; one or two more after a request of unknown outcome; one more each time another client came between.
    pub(crate) async fn enter_roster(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let entering = Entering::new(self, roster, entry);
        let outcome = self.fence.run(self.attempt(&entering)).await;
        match &outcome {
            Ok(Standing::Withdrawn { .. }) => self.key_pool.release(entry.nonce),
            Err(error) if !error.is_retryable() => self.key_pool.release(entry.nonce),
            _ => {}
        }
        outcome
    }

    /// Only a transaction that certainly did nothing is followed by another one.
    async fn attempt(&self, entering: &Entering<'_>) -> Result<Standing> {
        let (entry, deadline) = (&entering.entry, Instant::now() + self.client.timeout);
        let mut seen = Seen::default();
        loop {
            if lock(&self.withdrawn).contains(entry.nonce) {
                return Err(withdrawn());
            }
            let mut answer = self.client.txn(entering.txn(self, &seen)).await?;
            if answer.succeeded {
                let earlier = if entering.must_not_wait() { Vec::new() } else { answer.next_read()? };
                let blockers = Blockers::new(&entering.keys, earlier, entry.mode, entry.limit);
                return Ok(self.standing(entry.ticket(Seq(answer.revision.unsigned_abs())), blockers));
            }
            self.fence.session_lives(&mut answer)?;
            if let Some(own) = answer.next_read()?.pop().map(EntryKey::of) {
                let ticket = entry.ticket(own.seq);
                let blockers = self.blockers(&entering.keys, &own, &ticket, Blockers::default()).await?;
                if blockers.is_admitted() {
                    // It may have waited since an attempt whose reply was lost.
                    self.tell_next(&own, &ticket).await?;
                }
                return Ok(self.standing(ticket, blockers));
            }
            match entering.after_failure(&mut answer)? {
                ControlFlow::Break(standing) => return Ok(standing),
                ControlFlow::Continue(next) => seen = next,
            }
            if Instant::now() > deadline {
                return Err(other_clients_came_between());
            }
        }
    }

    fn standing(&self, ticket: Ticket, blockers: Blockers) -> Standing {
        let standing = ticket.standing(blockers.nearest());
        self.key_pool.entered(ticket.nonce, ticket.seq, blockers);
        standing
    }
}

impl<'a> Entering<'a> {
    fn new(session: &EtcdSession, roster: &Roster, entry: NewEntry<'a>) -> Self {
        let keys = session.layout.roster(roster);
        let unique = entry.unique_key().map(|(unique, _)| unique);
        Self {
            key: session.key_pool.take(entry.nonce, keys.key_prefix(entry.mode, unique, session.lease.id, entry.limit)),
            declared: entry.needs_declared.then(|| session.layout.declared(roster)),
            entry,
            keys,
        }
    }

    fn txn(&self, session: &EtcdSession, seen: &Seen) -> Txn {
        Txn::new()
            .when(self.compares(session, seen))
            .and_then(self.operations(session, seen))
            .or_else(self.reads_after_failure(session))
    }

    /// Whether an entry that is blocked must leave nothing behind.
    fn must_not_wait(&self) -> bool {
        self.entry.if_blocked == IfBlocked::Withdraw
    }

    fn compares(&self, session: &EtcdSession, seen: &Seen) -> Vec<Compare> {
        let mut compares = vec![absent(&self.key), session.fence.holds()];
        compares.extend(self.declared.iter().map(|declared| exists(declared)));
        match (&seen.taken_by, self.entry.unique_key()) {
            (Some(old), _) => compares.push(created_at(old.key(), old.create_revision())),
            (None, Some((unique, _))) => compares.extend(self.keys.with_unique_key(unique).map(is_empty)),
            (None, None) => {}
        }
        if self.must_not_wait() {
            let range = self.keys.conflicting(self.entry.mode);
            compares.push(match seen.room_at {
                None => is_empty(range),
                Some(revision) => none_created_after(range, revision),
            });
        }
        compares
    }

    fn operations(&self, session: &EtcdSession, seen: &Seen) -> Vec<TxnOp> {
        let NewEntry { nonce, value, .. } = self.entry;
        let mut operations: Vec<_> = seen.taken_by.iter().flat_map(|old| session.removal(old)).collect();
        // Before the write, so that etcd need not read the new entry again.
        operations.extend((!self.must_not_wait()).then(|| self.read_conflicting()));
        operations.push(put(&self.key, &entry_value(nonce, value), Some(session.lease.id)));
        operations
    }

    /// The session's key and the own key, and what [`after_failure`](Self::after_failure) takes.
    fn reads_after_failure(&self, session: &EtcdSession) -> Vec<TxnOp> {
        let mut reads = vec![session.fence.read(), get_key(&self.key)];
        reads.extend(self.declared.iter().map(|declared| get_key(declared)));
        let unique = self.entry.unique_key();
        reads.extend(unique.into_iter().flat_map(|(unique, _)| self.keys.with_unique_key(unique).map(get)));
        reads.extend(self.must_not_wait().then(|| self.read_conflicting()));
        reads
    }

    /// Reads one conflicting entry more than the limit, also because an entry that is taken over makes room.
    fn read_conflicting(&self) -> TxnOp {
        read_earlier(&self.keys, self.entry.mode, None, self.entry.limit)
    }

    /// What a failed attempt means for an entry that does not exist yet: an outcome, or what the next attempt relies on.
    fn after_failure(&self, answer: &mut Answer) -> Result<ControlFlow<Standing, Seen>> {
        if self.declared.is_some() && answer.next_read()?.is_empty() {
            return Err(group_not_created());
        }
        let mut taken_by = None;
        if let Some((unique, if_taken)) = self.entry.unique_key() {
            for _ in self.keys.with_unique_key(unique) {
                taken_by = answer.next_read()?.pop().or(taken_by);
            }
            if taken_by.is_some() && if_taken == IfTaken::Refuse {
                return Err(member_already_exists());
            }
        }
        if self.must_not_wait() {
            let mut conflicting = answer.next_read()?;
            conflicting.retain(|other| taken_by.as_ref().is_none_or(|old| old.key() != other.key()));
            let blockers = Blockers::new(&self.keys, conflicting, self.entry.mode, self.entry.limit);
            if let Some(blocked_by) = blockers.nearest() {
                return Ok(ControlFlow::Break(Standing::Withdrawn { blocked_by }));
            }
        }
        Ok(ControlFlow::Continue(Seen { taken_by, room_at: Some(answer.revision) }))
    }
}
