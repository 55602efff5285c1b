//! Waiting until an entry is admitted.
//!
//! The transaction that removes the blocker marks the waiting entry as admitted and notifies its session. It does so while
//! the entry is in the roster, so the notification proves the admission.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket, Wakeup};

use crate::client::Param;
use crate::layout::{nonce_bytes, seq_number};
use crate::session::PostgresSession;

const TURN: &str = "SELECT * FROM turn($1, $2, $3, $4, $5)";

impl PostgresSession {
    pub(crate) async fn wait_for_admission(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let params: [Param<'_>; 2] = [&seq_number(ticket.seq), &nonce_bytes(ticket.nonce)];
        let mut receiver = self.core.inbox.wakeups.subscribe(&ticket.nonce.to_string());
        loop {
            let reply = self.core.call_on(TURN, roster, &params).await?;
            match reply.status() {
                "ADMITTED" => return Ok(()),
                "NONE" => return Err(not_held()),
                "WAITING" => self.core.inbox.expect_expiry(reply.get(0, "rest")?),
                _ => return Err(reply.unexpected()),
            }
            // The sender is kept by the session.
            receiver.changed().await.ok();
            match *receiver.borrow() {
                Wakeup::Admitted => return Ok(()),
                Wakeup::Removed => return Err(not_held()),
                _ => {}
            }
        }
    }
}
