//! Leaving a roster, withdrawing an `enter` of unknown outcome, and evicting an entry of any session.
//!
//! The script that removes an entry also finds the entries that this admits, and notifies the sessions of these alone.

use tooz_core::Result;
use tooz_core::driver::{Nonce, Roster, Seq, Ticket};

use crate::client::{ECHO, EVICT, LEAVE, WITHDRAW};
use crate::layout::{self, TOMBSTONE_TTL};
use crate::session::RedisSession;
use crate::shard_session::ShardSession;

impl RedisSession {
    pub(crate) async fn leave_roster(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let key = self.layout().roster(roster);
        let own = self.shard(key.shard).await?;
        // Before the request, so that the removal is not taken for a loss.
        own.entries.leaving(ticket.nonce);
        let reply = self.run(&LEAVE, &key, &[layout::ticket(ticket, &own.id).as_bytes()]).await?;
        self.left(own, ticket.nonce);
        if reply.has_more() {
            // The entry has left, whatever becomes of this request.
            let _ = self.client.connections.run(&ECHO, &own.key, &[]).await;
        }
        reply.is_done()
    }

    pub(crate) async fn withdraw_entry(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let key = self.layout().roster(roster);
        let own = self.shard(key.shard).await?;
        own.entries.leaving(nonce);
        let (text, ttl) = (nonce.to_string(), TOMBSTONE_TTL.as_millis().to_string());
        self.run(&WITHDRAW, &key, &[text.as_bytes(), ttl.as_bytes()]).await?.is_done()?;
        self.left(own, nonce);
        Ok(())
    }

    pub(crate) async fn evict_entry(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.run(&EVICT, &self.layout().roster(roster), &[seq.to_string().as_bytes()]).await?.is_done()
    }

    /// Records that an entry is not there any more, and has its waiter look at the server.
    pub(super) fn left(&self, own: &ShardSession, nonce: Nonce) {
        own.entries.removed(nonce);
        self.client.subscriptions.wake_waiter(nonce);
    }
}
