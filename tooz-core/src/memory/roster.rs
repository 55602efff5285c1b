//! One roster of the server: its entries in order, their owners, and the callers that wait for a change.
//!
//! - A new entry goes to the end; [`admission::blocker`] says which earlier entry blocks it.
//! - After a removal, [`admission::partition`] says which entries are admitted; only their waiters are woken.
//! - Each change scans the roster once. That is enough for a reference; other drivers keep indexes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::Result;
use crate::driver::{
    Entry, IfBlocked, IfTaken, NewEntry, Nonce, Seq, Snapshot, Standing, Ticket, Version, admission, support,
};

pub(super) type SessionId = u64;

#[derive(Debug, Default)]
pub(super) struct RosterState {
    /// In rising order of [`Entry::seq`].
    pub(super) entries: Vec<Entry>,
    owners: HashMap<Nonce, Owner>,
    pub(super) declared: bool,
    /// The revision of the last change; the default value while the roster is blank.
    pub(super) version: Version,
    changed: Arc<Notify>,
    /// Evicted entries with their sessions, until the server reports them.
    pub(super) evicted: Vec<(SessionId, Nonce)>,
}

/// What the server knows about an entry beyond its content.
#[derive(Debug)]
struct Owner {
    session: SessionId,
    /// Notified when the entry is admitted or removed.
    turn: Arc<Notify>,
}

impl RosterState {
    /// Adds an entry with the seq `revision`, unless its nonce is in the roster already.
    pub(super) fn enter(&mut self, session: SessionId, new: &NewEntry<'_>, revision: u64) -> Result<Standing> {
        if self.owners.contains_key(&new.nonce)
            && let Some(entry) = self.entries.iter().find(|entry| entry.nonce == new.nonce)
        {
            let ticket = new.ticket(entry.seq);
            return Ok(ticket.standing(admission::blocker_of(&self.entries, &ticket)?));
        }
        if new.needs_declared && !self.declared {
            return Err(support::group_not_created());
        }
        if let Some((key, if_taken)) = new.unique_key()
            && let Some(earlier) = self.entries.iter().find(|entry| entry.key.as_deref() == Some(key))
        {
            match if_taken {
                IfTaken::Refuse => return Err(support::member_already_exists()),
                IfTaken::TakeOver => self.evict(earlier.seq, revision),
            };
        }
        let blocked_by = admission::blocker(&self.entries, new.mode, new.limit);
        if let (Some(blocked_by), IfBlocked::Withdraw) = (blocked_by, new.if_blocked) {
            return Ok(Standing::Withdrawn { blocked_by });
        }
        let NewEntry { nonce, mode, limit, value, .. } = *new;
        let (seq, key) = (Seq(revision), new.unique_key().map(|(key, _)| key.to_vec()));
        self.entries.push(Entry { seq, nonce, key, mode, limit, value: value.to_vec() });
        self.owners.insert(nonce, Owner { session, turn: Arc::default() });
        self.changed(revision);
        Ok(new.ticket(seq).standing(blocked_by))
    }

    /// Removes the entries that match, wakes the waiters that this admits, and returns what it removed.
    pub(super) fn remove(&mut self, revision: u64, matches: impl Fn(&Entry) -> bool) -> Vec<(SessionId, Nonce)> {
        let nonces: Vec<_> = self.entries.extract_if(.., |entry| matches(entry)).map(|entry| entry.nonce).collect();
        let removed: Vec<_> =
            nonces.into_iter().filter_map(|nonce| Some((nonce, self.owners.remove(&nonce)?))).collect();
        if !removed.is_empty() {
            removed.iter().for_each(|(_, owner)| owner.turn.notify_waiters());
            let (admitted, _) = admission::partition(&self.entries);
            admitted.iter().for_each(|entry| self.owners[&entry.nonce].turn.notify_waiters());
            self.changed(revision);
        }
        removed.into_iter().map(|(nonce, owner)| (owner.session, nonce)).collect()
    }

    /// Removes every entry of a session.
    pub(super) fn remove_session(&mut self, id: SessionId, revision: u64) {
        let owned = self.owners.iter().filter(|(_, owner)| owner.session == id);
        let owned: HashSet<Nonce> = owned.map(|(nonce, _)| *nonce).collect();
        self.remove(revision, |entry| owned.contains(&entry.nonce));
    }

    pub(super) fn evict(&mut self, seq: Seq, revision: u64) -> bool {
        let evicted = self.remove(revision, |entry| entry.seq == seq);
        self.evicted.extend(&evicted);
        !evicted.is_empty()
    }

    pub(super) fn replace(&mut self, id: SessionId, ticket: &Ticket, value: &[u8], revision: u64) -> Result<()> {
        let owned = self.owns(id, ticket.nonce);
        let entry = self.entries.iter_mut().find(|entry| owned && entry.matches(ticket));
        entry.ok_or_else(support::not_held)?.value = value.to_vec();
        self.changed(revision);
        Ok(())
    }

    pub(super) fn declare(&mut self, revision: u64) -> bool {
        let is_new = !std::mem::replace(&mut self.declared, true);
        self.changed(revision);
        is_new
    }

    pub(super) fn retract(&mut self, revision: u64) -> Result<()> {
        match (self.declared, self.entries.is_empty()) {
            (false, _) => return Err(support::group_not_created()),
            (true, false) => return Err(support::group_not_empty()),
            (true, true) => self.declared = false,
        }
        self.changed(revision);
        Ok(())
    }

    /// `None` if the entry is admitted, else what resolves when it is admitted or removed.
    pub(super) fn turn(&self, ticket: &Ticket) -> Result<Option<OwnedNotified>> {
        let blocked_by = admission::blocker_of(&self.entries, ticket)?;
        Ok(blocked_by.map(|_| self.owners[&ticket.nonce].turn.clone().notified_owned()))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { version: self.version, declared: self.declared, entries: self.entries.clone() }
    }

    /// A copy without entries.
    pub(super) fn backed_up(&self) -> Self {
        Self { declared: self.declared, version: self.version, ..Self::default() }
    }

    pub(super) fn next_change(&self) -> OwnedNotified {
        self.changed.clone().notified_owned()
    }

    pub(super) fn owns(&self, id: SessionId, nonce: Nonce) -> bool {
        self.owners.get(&nonce).is_some_and(|owner| owner.session == id)
    }

    /// Whether no caller would notice if this roster were dropped.
    pub(super) fn is_forgettable(&self) -> bool {
        self.is_blank() && Arc::strong_count(&self.changed) == 1
    }

    fn is_blank(&self) -> bool {
        self.entries.is_empty() && !self.declared
    }

    fn changed(&mut self, revision: u64) {
        self.version = if self.is_blank() { Version::default() } else { Version(revision) };
        self.changed.notify_waiters();
    }
}
