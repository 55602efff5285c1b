//! Replacing the value of an entry, which keeps its seq.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use crate::client::REPLACE;
use crate::layout;
use crate::session::RedisSession;

impl RedisSession {
    pub(crate) async fn replace_value(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let key = self.layout().roster(roster);
        let fits = layout::ticket(ticket, &self.shard(key.shard).await?.id);
        match self.run(&REPLACE, &key, &[fits.as_bytes(), value]).await?.is_done()? {
            true => Ok(()),
            false => Err(not_held()),
        }
    }
}
