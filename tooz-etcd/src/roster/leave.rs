//! Removing entries: `leave` and `withdraw` for the session's own, `evict` for any.

use tooz_core::Result;
use tooz_core::driver::{Nonce, Roster, Seq, Ticket};

use crate::client::{GetOptions, KeyValue, Txn, TxnOp, created_at, delete, get_key, put};
use crate::layout::{parse_value, revision};
use crate::session::EtcdSession;

impl EtcdSession {
    pub(crate) async fn leave_roster(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let Some((own, _)) = self.own_key(&self.layout.roster(roster), ticket) else {
            return self.fence.check_session().await.map(|()| false);
        };
        let txn = Txn::new().when([own.exists()]).and_then([delete(&own.key)]);
        let mut answer = self.client.txn(txn.or_else([self.fence.read(), get_key(&own.key)])).await?;
        if !answer.succeeded {
            self.fence.session_lives(&mut answer)?;
        }
        // An entry that has the key may belong to another ticket with this nonce.
        if answer.succeeded || answer.next_read()?.is_empty() {
            self.key_pool.remove(ticket.nonce);
        }
        Ok(answer.succeeded)
    }

    pub(crate) async fn withdraw_entry(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let keys = self.layout.roster(roster);
        let key = self.key_pool.key_to_withdraw(nonce).filter(|key| keys.contains(key));
        self.fence.withdraw(nonce, key.iter().map(|key| delete(key)).collect()).await?;
        self.key_pool.remove(nonce);
        Ok(())
    }

    pub(crate) async fn evict_entry(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let at = revision(seq);
        let created = GetOptions::new().with_min_create_revision(at).with_max_create_revision(at);
        let found = self.client.read(self.layout.roster(roster).entries().get(created)).await?;
        let Some(entry) = found.first() else { return Ok(false) };
        let same = created_at(entry.key(), at);
        let answer = self.client.txn(Txn::new().when([same]).and_then(self.removal(entry))).await?;
        Ok(answer.succeeded)
    }

    /// Removes an entry and leaves a note for its session. The note is bound to that session's lease.
    pub(super) fn removal(&self, entry: &KeyValue) -> Vec<TxnOp> {
        let mut operations = vec![delete(entry.key())];
        if let Some((nonce, _)) = parse_value(entry.value()).filter(|_| entry.lease() != 0) {
            let note = self.layout.eviction(entry.lease(), nonce);
            operations.push(put(&note, &self.member, Some(entry.lease())));
        }
        operations
    }
}
