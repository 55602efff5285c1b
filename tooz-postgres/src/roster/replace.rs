//! Replacing the value of an entry, which keeps its seq.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::leave::number;
use crate::client::Param;
use crate::session::PostgresSession;

const REPLACE: &str = "SELECT replace_value($1, $2, $3, $4, $5, $6)";

impl PostgresSession {
    pub(crate) async fn replace_value(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let (seq, nonce) = (number(ticket.seq), ticket.nonce.0.to_be_bytes());
        let params: [Param<'_>; 5] = [&roster.kind.as_str(), &roster.name.as_bytes(), &seq, &&nonce[..], &value];
        match self.core.call(REPLACE, &params).await?.is_done()? {
            true => Ok(()),
            false => Err(not_held()),
        }
    }
}
