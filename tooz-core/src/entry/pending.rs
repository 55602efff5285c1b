//! An entry from the first attempt to enter until nothing of it is left in the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::driver::{Nonce, Roster, Ticket};
use crate::session::live::LiveSession;
use crate::session::reaper::Removal;

/// An entry that is, or may be, in its roster. Dropping it removes it in the background.
#[derive(Debug)]
pub(crate) struct PendingEntry {
    pub(crate) live: Arc<LiveSession>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) nonce: Nonce,
    /// The ticket, once the backend has returned one.
    pub(crate) ticket: Option<Ticket>,
    /// Whether `enter` was sent more than once. The backend may carry out an earlier attempt late, even after the
    /// removal of the entry, so the nonce must be withdrawn as well.
    pub(crate) repeated: bool,
    in_roster: AtomicBool,
}

impl PendingEntry {
    /// An entry that is about to be sent.
    pub(crate) fn new(live: Arc<LiveSession>, roster: Arc<Roster>, nonce: Nonce) -> Self {
        Self { live, roster, nonce, ticket: None, repeated: false, in_roster: AtomicBool::new(true) }
    }

    /// Records that the backend no longer has the entry, so that dropping it removes nothing.
    pub(crate) fn set_removed(&self) {
        self.in_roster.store(false, Ordering::SeqCst);
    }
}

impl Drop for PendingEntry {
    fn drop(&mut self) {
        // In a fork, the entry belongs to the parent.
        if self.live.check_process().is_err() {
            return;
        }
        self.live.forget(self.nonce);
        let in_roster = self.in_roster.load(Ordering::SeqCst);
        let roster = self.roster.clone();
        match self.ticket {
            _ if self.repeated => self.live.remove_later(Removal::Withdraw(roster, self.nonce)),
            _ if !in_roster => {}
            Some(ticket) => self.live.remove_later(Removal::Leave(roster, ticket)),
            None => self.live.remove_later(Removal::Withdraw(roster, self.nonce)),
        }
    }
}
