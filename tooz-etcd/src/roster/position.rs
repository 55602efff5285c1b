//! Reading what blocks an entry.

use std::num::NonZeroU32;

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Mode, Ticket};

use crate::blockers::{Blockers, EntryKey};
use crate::client::{GetOptions, SortOrder, SortTarget, Txn, TxnOp, get_key, rewrite, unmodified_since};
use crate::layout::{RosterKeys, revision, seq};
use crate::session::EtcdSession;

/// Reads the conflicting entries before the revision (all, without one), nearest first: one more than the limit, to see
/// whether these are all.
pub(super) fn read_earlier(keys: &RosterKeys, mode: Mode, before: Option<i64>, limit: NonZeroU32) -> TxnOp {
    let options = GetOptions::new()
        .with_keys_only()
        .with_sort(SortTarget::Create, SortOrder::Descend)
        .with_max_create_revision(before.map_or(0, |before| before - 1))
        .with_limit(i64::from(limit.get()) + 1);
    keys.conflicting(mode).get(options)
}

impl EtcdSession {
    /// Reads what blocks an entry. As long as the only `known` blocker is unchanged, etcd need not read the queue.
    ///
    /// # Errors
    /// `NotHeld` if the entry is gone, `SessionLost` if the session is.
    pub(super) async fn blockers(
        &self,
        keys: &RosterKeys,
        own: &EntryKey,
        ticket: &Ticket,
        known: Blockers,
    ) -> Result<Blockers> {
        let earlier = read_earlier(keys, ticket.mode, Some(revision(own.seq)), ticket.limit);
        let reads = [self.fence.read(), get_key(&own.key), earlier];
        let txn = match &known.watched[..] {
            // With some read, since etcd answers a transaction without reads from a state that may be old.
            [only] => Txn::new()
                .when([own.exists(), unmodified_since(&only.key, known.written)])
                .and_then([self.fence.read()])
                .or_else(reads),
            _ => Txn::new().and_then(reads),
        };
        let mut answer = self.client.txn(txn).await?;
        if answer.succeeded && known.watched.len() == 1 {
            return Ok(known);
        }
        self.fence.session_lives(&mut answer)?;
        if answer.next_read()?.first().map(seq) != Some(own.seq) {
            return Err(not_held());
        }
        Ok(Blockers::new(keys, answer.next_read()?, ticket.mode, ticket.limit))
    }

    /// Rewrites the key of an entry that was admitted after it had waited. The waiter behind it watches that key, unless the
    /// limit is 1.
    pub(super) async fn tell_next(&self, own: &EntryKey, ticket: &Ticket) -> Result<()> {
        if ticket.limit.get() > 1 {
            let txn = Txn::new().when([own.exists()]).and_then([rewrite(&own.key)]).or_else([self.fence.read()]);
            let mut answer = self.client.txn(txn).await?;
            if !answer.succeeded {
                return Err(self.fence.session_lives(&mut answer).err().unwrap_or_else(not_held));
            }
        }
        self.key_pool.entered(ticket, Blockers::default());
        Ok(())
    }

    /// The key of the session's own entry, if it may be in the roster, and what blocked it when it entered.
    pub(super) fn own_key(&self, keys: &RosterKeys, ticket: &Ticket) -> Option<(EntryKey, Blockers)> {
        let (key, blockers) = self.key_pool.get(ticket.nonce).filter(|(key, _)| keys.contains(key))?;
        Some((EntryKey { key, seq: ticket.seq }, blockers))
    }
}
