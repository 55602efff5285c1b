//! Entering a roster: one transaction compares, reads what blocks the entry, and writes it.
//!
//! - The transaction fails without an effect if the session is over, the entry exists already (an attempt before this one
//!   succeeded), the roster is not declared, the unique key is taken, or an entry that must not wait would be blocked.
//! - Its failure branch reads which of these it was. Where that leaves the entry a chance, the next attempt compares with
//!   what was read: it takes over from exactly that entry, or relies on room that it saw as long as no entry was added.

use std::ops::ControlFlow;

use tokio::time::Instant;
use tooz_core::Result;
use tooz_core::driver::support::{group_not_created, member_already_exists};
use tooz_core::driver::{IfBlocked, IfTaken, NewEntry, Roster, Seq, Standing, Ticket};

use super::position::read_earlier;
use crate::blockers::{Blockers, EntryKey};
use crate::client::{
    Answer, Compare, GetOptions, KeyValue, TxnOp, absent, created_at, exists, get_key, is_empty, none_created_after,
    put,
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
    room_at: i64,
}

/// An entry that is about to enter, with its keys.
struct Entering<'a> {
    session: &'a EtcdSession,
    entry: NewEntry<'a>,
    keys: RosterKeys,
    key: Vec<u8>,
    declared: Option<Vec<u8>>,
}

impl EtcdSession {
    /// One transaction, except: two for an entry that exists already, a take-over and an attempt at a semaphore that is
    /// partly held; one or two more after a request of unknown outcome; one more each time another client came between.
    pub(crate) async fn enter_roster(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let keys = self.layout.roster(roster);
        let unique = entry.unique_key().map(|(unique, _)| unique);
        let prefix = keys.key_prefix(entry.mode, unique, self.lease.id, entry.limit);
        let entering = Entering {
            session: self,
            key: self.key_pool.take(entry.nonce, &prefix),
            declared: entry.needs_declared.then(|| self.layout.declared(roster)),
            entry,
            keys,
        };
        let outcome = entering.attempt().await;
        let has_not_entered = match &outcome {
            Ok(standing) => matches!(standing, Standing::Withdrawn { .. }),
            Err(error) => !error.is_retryable(),
        };
        if has_not_entered {
            self.key_pool.remove(entry.nonce);
        }
        outcome
    }
}

impl Entering<'_> {
    /// Only a transaction that certainly did nothing is followed by another one.
    async fn attempt(&self) -> Result<Standing> {
        let (session, entry, mut seen) = (self.session, &self.entry, Seen::default());
        let deadline = Instant::now() + session.client.timeout;
        while Instant::now() < deadline {
            let (compares, operations, otherwise) = (self.compares(&seen), self.operations(&seen), self.reads());
            let mut answer = session.fence.txn(Some(entry.nonce), &compares, &operations, &otherwise).await?;
            if answer.succeeded {
                let ticket = entry.ticket(Seq(answer.revision.unsigned_abs()));
                return Ok(self.standing(ticket, self.blockers(answer.next_read()?)));
            }
            if let Some(own) = answer.next_read()?.pop().map(EntryKey::of) {
                let ticket = entry.ticket(own.seq);
                let blockers = session.blockers(&self.keys, &own, &ticket, Blockers::default()).await?;
                if blockers.is_admitted() {
                    // It may have waited since an attempt whose reply was lost.
                    session.tell_next(&own, &ticket).await?;
                }
                return Ok(self.standing(ticket, blockers));
            }
            match self.after_failure(&mut answer)? {
                ControlFlow::Break(standing) => return Ok(standing),
                ControlFlow::Continue(next) => seen = next,
            }
        }
        Err(other_clients_came_between())
    }

    fn standing(&self, ticket: Ticket, blockers: Blockers) -> Standing {
        let standing = ticket.standing(blockers.nearest());
        self.session.key_pool.entered(&ticket, blockers);
        standing
    }

    fn compares(&self, seen: &Seen) -> Vec<Compare> {
        let mut compares = vec![absent(&self.key)];
        compares.extend(self.declared.iter().map(|declared| exists(declared)));
        match (&seen.taken_by, self.entry.unique_key()) {
            (Some(old), _) => compares.push(created_at(old.key(), old.create_revision())),
            (None, Some((unique, _))) => compares.extend(self.keys.with_unique_key(unique).map(is_empty)),
            (None, None) => {}
        }
        if self.must_not_wait() {
            compares.push(none_created_after(self.keys.conflicting(self.entry.mode), seen.room_at));
        }
        compares
    }

    fn operations(&self, seen: &Seen) -> Vec<TxnOp> {
        let NewEntry { nonce, value, .. } = self.entry;
        let mut operations: Vec<_> = seen.taken_by.iter().flat_map(|old| self.session.removal(old)).collect();
        // Before the write, so that etcd need not read the new entry again.
        operations.push(self.read_conflicting());
        operations.push(put(&self.key, &entry_value(nonce, value), Some(self.session.lease.id)));
        operations
    }

    /// The own key, and what [`after_failure`](Self::after_failure) takes.
    fn reads(&self) -> Vec<TxnOp> {
        let mut reads = vec![get_key(&self.key)];
        reads.extend(self.declared.iter().map(|declared| get_key(declared)));
        if let Some((unique, _)) = self.entry.unique_key() {
            reads.extend(self.keys.with_unique_key(unique).map(|range| range.get(GetOptions::new())));
        }
        reads.push(self.read_conflicting());
        reads
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
        let mut conflicting = answer.next_read()?;
        conflicting.retain(|other| taken_by.as_ref().is_none_or(|old| old.key() != other.key()));
        match self.blockers(conflicting).nearest() {
            Some(blocked_by) if self.must_not_wait() => Ok(ControlFlow::Break(Standing::Withdrawn { blocked_by })),
            _ => Ok(ControlFlow::Continue(Seen { taken_by, room_at: answer.revision })),
        }
    }

    /// Reads one conflicting entry more than the limit, also because an entry that is taken over makes room.
    fn read_conflicting(&self) -> TxnOp {
        read_earlier(&self.keys, self.entry.mode, None, self.entry.limit)
    }

    fn blockers(&self, conflicting: Vec<KeyValue>) -> Blockers {
        Blockers::new(&self.keys, conflicting, self.entry.mode, self.entry.limit)
    }

    /// Whether an entry that is blocked must leave nothing behind.
    fn must_not_wait(&self) -> bool {
        self.entry.if_blocked == IfBlocked::Withdraw
    }
}
