//! Waiting until an entry is admitted.
//!
//! The script that removes the blocker notifies the waiter by its nonce. It sends this while the entry is in the roster, so
//! the notification proves the admission, provided that the waiter's session is certainly alive.

use std::time::Duration;

use tokio::time::timeout;
use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket, Wakeup};

use crate::client::WAIT;
use crate::layout;
use crate::session::RedisSession;

/// The longest time without a look at the server.
const BACKUP: Duration = Duration::from_secs(30);

impl RedisSession {
    pub(crate) async fn wait_for_admission(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let key = self.layout().roster(roster);
        let fits = layout::ticket(ticket, &self.shard(key.shard).await?.id);
        let mut receiver = self.client.subscriptions.subscribe_entry(ticket.nonce);
        loop {
            let mut reply = self.run(&WAIT, &key, &[fits.as_bytes()]).await?;
            match reply.status() {
                "ADMITTED" => return Ok(()),
                "NONE" => return Err(not_held()),
                "WAITING" => self.client.subscriptions.expect_expiry(reply.number()?),
                _ => return Err(reply.unexpected()),
            }
            // A timer that has run out, and a sender that is gone, both mean: look at the server.
            let woken = matches!(timeout(BACKUP, receiver.changed()).await, Ok(Ok(())));
            match *receiver.borrow_and_update() {
                Wakeup::Removed if woken => return Err(not_held()),
                Wakeup::Admitted if woken && self.is_certainly_alive() => return Ok(()),
                _ => {}
            }
        }
    }
}
