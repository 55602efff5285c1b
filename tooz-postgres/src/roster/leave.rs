//! Leaving a roster, withdrawing an `enter` of unknown outcome, and evicting an entry of any session.
//!
//! The function that removes an entry also admits the entries that this lets in, and notifies the sessions of these alone.

use tooz_core::Result;
use tooz_core::driver::support::lock;
use tooz_core::driver::{Nonce, Roster, Seq, Ticket};

use crate::client::Param;
use crate::layout::{nonce_bytes, seq_number};
use crate::session::PostgresSession;

const LEAVE: &str = "SELECT leave($1, $2, $3, $4, $5)";
const EVICT: &str = "SELECT evict($1, $2, $3, $4)";

impl PostgresSession {
    pub(crate) async fn leave_roster(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.remove(roster, Some(ticket.seq), ticket.nonce).await
    }

    /// Nothing of the request to enter can arrive after this one; see `client/connections.rs`.
    pub(crate) async fn withdraw_entry(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        lock(&self.tombstones).insert(nonce);
        self.remove(roster, None, nonce).await.map(drop)
    }

    pub(crate) async fn evict_entry(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.core.call_on(EVICT, roster, &[&seq_number(seq)]).await?.is_done()
    }

    async fn remove(&self, roster: &Roster, seq: Option<Seq>, nonce: Nonce) -> Result<bool> {
        // Before the request, so that the removal is not taken for a loss.
        self.core.inbox.entries.leaving(nonce);
        let params: [Param<'_>; 2] = [&seq.map(seq_number), &nonce_bytes(nonce)];
        let removed = self.core.call_on(LEAVE, roster, &params).await?.is_done()?;
        self.core.inbox.removed(nonce);
        Ok(removed)
    }
}
