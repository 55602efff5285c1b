//! Replacing the value of an own entry, which keeps its position.

use tooz_core::Result;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use crate::client::put;
use crate::layout::entry_value;
use crate::session::EtcdSession;

impl EtcdSession {
    pub(crate) async fn replace_value(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let Some((own, _)) = self.own_key(&self.layout.roster(roster), ticket) else {
            return self.fence.check_session().await.and(Err(not_held()));
        };
        let put = put(&own.key, &entry_value(ticket.nonce, value), Some(self.lease.id));
        let answer = self.fence.txn(None, &[own.exists()], &[put], &[]).await?;
        if answer.succeeded { Ok(()) } else { Err(not_held()) }
    }
}
