//! Reading what blocks an entry.

use std::num::NonZeroU32;

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Mode, Ticket};

use crate::blockers::{Blockers, EntryKey};
use crate::client::{Txn, TxnOp, get_key, nearest_first, rewrite, unmodified_since};
use crate::layout::{RosterKeys, revision, seq};
use crate::session::EtcdSession;

/// Reads the conflicting entries before the revision (all, without one), nearest first: one more than the limit, to see
/// whether these are all.
pub(super) fn read_earlier(keys: &RosterKeys, mode: Mode, before: Option<i64>, limit: NonZeroU32) -> TxnOp {
    nearest_first(keys.conflicting(mode), before, (limit.get() as usize).saturating_add(1))
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
        let only =
            if let [only] = &known.watched[..] { Some(unmodified_since(&only.key, known.written)) } else { None };
        let is_known = only.is_some();
        let txn = match only {
            // Some read, since etcd answers a transaction without reads from a state that may be old.
            Some(only) => Txn::new().when([own.exists(), only]).and_then([self.fence.read()]).or_else(reads),
            None => Txn::new().and_then(reads),
        };
        let mut answer = self.client.txn(txn).await?;
        if is_known && answer.succeeded {
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
        self.key_pool.entered(ticket.nonce, ticket.seq, Blockers::default());
        Ok(())
    }

    /// The key of the session's own entry, if it may be in the roster.
    pub(super) fn own_key(&self, keys: &RosterKeys, ticket: &Ticket) -> Option<EntryKey> {
        let key = self.key_pool.key(ticket.nonce).filter(|key| keys.contains(key))?;
        Some(EntryKey { key, seq: ticket.seq })
    }
}
