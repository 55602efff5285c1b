//! What this process remembers of one of its sessions.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tooz_core::driver::support::{Tombstones, session_lost};
use tooz_core::driver::{Loss, Nonce, Ticket};

/// How many withdrawn nonces a session remembers: more than it has requests under way.
const TOMBSTONES: usize = 128;

/// A session of this process.
#[derive(Debug)]
pub(crate) struct LocalSession {
    losses: UnboundedSender<Loss>,
    over: Arc<Notify>,
    /// The tickets of its entries, which another process may have removed meanwhile.
    pub(crate) tickets: HashMap<Nonce, Ticket>,
    /// The nonces that must not enter any more.
    pub(crate) tombstones: Tombstones,
}

impl LocalSession {
    /// A session that reports to `losses`, and whose end wakes the tasks that wait for `over`.
    pub(crate) fn new(losses: UnboundedSender<Loss>, over: Arc<Notify>) -> Self {
        Self { losses, over, tickets: HashMap::new(), tombstones: Tombstones::new(TOMBSTONES) }
    }

    /// Reports that another client has removed an entry.
    pub(crate) fn report_eviction(&mut self, nonce: Nonce) {
        self.tickets.remove(&nonce);
        self.report(Loss::Entry(nonce));
    }

    /// Ends the session by its own client's wish.
    pub(crate) fn end(self) {
        self.over.notify_waiters();
    }

    /// Ends the session and reports that.
    pub(crate) fn lose(self) {
        self.report(Loss::Session(session_lost()));
        self.end();
    }

    fn report(&self, loss: Loss) {
        // Without a receiver the session is not used any more.
        let _ = self.losses.send(loss);
    }
}
