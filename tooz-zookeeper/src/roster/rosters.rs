//! What the verbs of a session share.
//!
//! - A roster is a persistent znode. An entry is an ephemeral sequential child of it.
//! - The name of an entry contains its nonce, so that a repeated attempt finds the entry of an earlier one.
//! - The seq of an entry is its creation zxid, which rises with every write to the ensemble.

use std::sync::Arc;

use futures_util::join;
use tokio::sync::mpsc::UnboundedSender;
use tooz_core::driver::{Loss, Ticket};

use super::queue::{Queue, seq};
use super::withdrawals::Withdrawals;
use crate::cleanup::Cleanup;
use crate::client::Client;
use crate::error::Answer;
use crate::layout::{Layout, child, parent};
use crate::own_entries::OwnEntries;

/// All rosters, as one session uses them.
#[derive(Debug)]
pub(crate) struct Rosters {
    pub(super) client: Arc<Client>,
    pub(super) layout: Arc<Layout>,
    pub(super) session: i64,
    pub(super) own: Arc<OwnEntries>,
    pub(super) cleanup: Arc<Cleanup>,
    pub(super) losses: UnboundedSender<Loss>,
    pub(super) withdrawals: Withdrawals,
}

impl Rosters {
    pub(crate) fn new(
        client: Arc<Client>,
        layout: Arc<Layout>,
        session: i64,
        own: Arc<OwnEntries>,
        cleanup: Arc<Cleanup>,
        losses: UnboundedSender<Loss>,
    ) -> Self {
        let withdrawals = Withdrawals::default();
        Self { client, layout, session, own, cleanup, losses, withdrawals }
    }

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

    /// Finds the path of the session's own entry with this ticket. An entry that [`OwnEntries`] knows costs no request.
    pub(super) async fn find(&self, roster: &str, ticket: &Ticket) -> Answer<Option<String>> {
        if let Some(placed) = self.own.placed(ticket.nonce) {
            let is_same = placed.seq == ticket.seq && parent(&placed.path) == roster;
            return Ok(is_same.then_some(placed.path));
        }
        let queue = self.list(roster).await?;
        let Some(index) = queue.find(ticket.nonce) else { return Ok(None) };
        let path = child(roster, &queue.entries()[index].name);
        let stat = self.client.exists(&path).await?;
        Ok(stat.is_some_and(|stat| seq(&stat) == ticket.seq && stat.owner == self.session).then_some(path))
    }
}
