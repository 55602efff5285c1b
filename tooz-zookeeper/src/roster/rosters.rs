//! What the verbs of a session share.
//!
//! - A roster is a persistent znode. An entry is an ephemeral sequential child of it.
//! - The name of an entry contains its nonce, so that a repeated attempt finds the entry of an earlier one.
//! - The seq of an entry is its creation zxid, which rises with every write to the ensemble.

use std::sync::Arc;

use futures_util::join;
use tokio::sync::mpsc::UnboundedSender;
use tooz_core::driver::{Loss, Ticket};

use super::queue::Queue;
use super::withdrawals::Withdrawals;
use crate::cleanup::Cleanup;
use crate::client::Client;
use crate::error::Answer;
use crate::layout::{Layout, parent};
use crate::own_entries::OwnEntries;

/// All rosters, as one session uses them.
#[derive(Debug)]
pub(crate) struct Rosters {
    pub(crate) client: Arc<Client>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) session: i64,
    pub(crate) own: Arc<OwnEntries>,
    pub(crate) cleanup: Arc<Cleanup>,
    pub(crate) losses: UnboundedSender<Loss>,
    pub(crate) withdrawals: Withdrawals,
}

impl Rosters {
    /// Lists a roster as the connected server knows it.
    pub(super) async fn list(&self, roster: &str) -> Answer<Queue> {
        Ok(Queue::new(roster, self.client.children(roster).await?))
    }

    /// Lists a roster as the leader knows it, in one round trip.
    pub(super) async fn list_synced(&self, roster: &str) -> Answer<Queue> {
        let (synced, queue) = join!(self.client.sync(), self.list(roster));
        synced?;
        queue
    }

    /// The path of the session's own entry with this ticket, if it is in the roster.
    pub(super) fn find(&self, roster: &str, ticket: &Ticket) -> Option<String> {
        let placed = self.own.placed(ticket.nonce)?;
        (placed.seq == ticket.seq && parent(&placed.path) == roster).then_some(placed.path)
    }
}
