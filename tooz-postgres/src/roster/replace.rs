//! Replacing the value of an entry, which keeps its seq.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use crate::client::Param;
use crate::layout::{nonce_bytes, seq_number};
use crate::session::PostgresSession;

const REPLACE: &str = "SELECT replace_value($1, $2, $3, $4, $5, $6)";

impl PostgresSession {
    pub(crate) async fn replace_value(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let params: [Param<'_>; 3] = [&seq_number(ticket.seq), &nonce_bytes(ticket.nonce), &value];
        match self.core.call_on(REPLACE, roster, &params).await?.is_done()? {
            true => Ok(()),
            false => Err(not_held()),
        }
    }
}
