//! One roster of the server: its entries in order, their owners, its latest changes, and the callers that wait for one.
//!
//! - A new entry goes to the end; [`admission::blocker`] says which earlier entry blocks it.
//! - After a removal, [`admission::partition`] says which entries are admitted; only their waiters are woken.
//! - A follower returns with the version that it has seen, and receives the changes since then. If they are no longer
//!   kept, it receives a snapshot.
//! - Each change scans the roster once. That is enough for a reference; other drivers keep indexes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::Result;
use crate::driver::{
    Change, Entry, IfBlocked, IfTaken, NewEntry, Nonce, Seq, Snapshot, Standing, Ticket, Update, Version, admission,
    support,
};

/// How many changes a roster keeps for its followers.
const CHANGES_KEPT: usize = 1_000;

pub(super) type SessionId = u64;

#[derive(Debug, Default)]
pub(super) struct RosterState {
    /// In ascending order of [`Entry::seq`].
    pub(super) entries: Vec<Entry>,
    owners: HashMap<Nonce, Owner>,
    pub(super) declared: bool,
    /// The revision of the last change; the default value while the roster is blank.
    pub(super) version: Version,
    /// The latest changes, each with the version after it.
    changes: VecDeque<(Version, Change)>,
    /// The version before them.
    version_before_changes: Version,
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
        let entry = Entry { seq, nonce, key, mode, limit, value: value.to_vec() };
        self.entries.push(entry.clone());
        self.owners.insert(nonce, Owner { session, turn: Arc::default() });
        self.changed(revision, [Change::Entered(entry)]);
        Ok(new.ticket(seq).standing(blocked_by))
    }

    /// Removes the entries that match, wakes the waiters that this admits, and returns what it removed.
    pub(super) fn remove(&mut self, revision: u64, matches: impl Fn(&Entry) -> bool) -> Vec<(SessionId, Nonce)> {
        let entries: Vec<_> = self.entries.extract_if(.., |entry| matches(entry)).collect();
        let removed: Vec<_> =
            entries.iter().filter_map(|entry| Some((entry.nonce, self.owners.remove(&entry.nonce)?))).collect();
        if !removed.is_empty() {
            removed.iter().for_each(|(_, owner)| owner.turn.notify_waiters());
            let (admitted, _) = admission::partition(&self.entries);
            admitted.iter().for_each(|entry| self.owners[&entry.nonce].turn.notify_waiters());
            self.changed(revision, entries.iter().map(|entry| Change::Left(entry.seq)));
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
        self.changed(revision, [Change::Replaced { seq: ticket.seq, value: value.to_vec() }]);
        Ok(())
    }

    pub(super) fn declare(&mut self, revision: u64) -> bool {
        let is_new = !std::mem::replace(&mut self.declared, true);
        if is_new {
            self.changed(revision, [Change::Declared(true)]);
        }
        is_new
    }

    pub(super) fn retract(&mut self, revision: u64) -> Result<()> {
        match (self.declared, self.entries.is_empty()) {
            (false, _) => return Err(support::group_not_created()),
            (true, false) => return Err(support::group_not_empty()),
            (true, true) => self.declared = false,
        }
        self.changed(revision, [Change::Declared(false)]);
        Ok(())
    }

    /// `None` if the entry is admitted; else a future that resolves when it is admitted or removed.
    pub(super) fn turn(&self, ticket: &Ticket) -> Result<Option<OwnedNotified>> {
        let blocked_by = admission::blocker_of(&self.entries, ticket)?;
        Ok(blocked_by.map(|_| self.owners[&ticket.nonce].turn.clone().notified_owned()))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { version: self.version, declared: self.declared, entries: self.entries.clone() }
    }

    /// What has changed since the version `seen`; `None` if nothing has.
    pub(super) fn update(&self, seen: Option<Version>) -> Option<Update> {
        if seen == Some(self.version) {
            return None;
        }
        // All blank rosters have the same version, so the last change with this version counts.
        let place = self.changes.iter().rposition(|(version, _)| seen == Some(*version)).map(|place| place + 1);
        let start = place.or_else(|| (seen == Some(self.version_before_changes)).then_some(0));
        Some(match start {
            Some(start) => Update::Changes(self.changes.range(start..).map(|(_, change)| change.clone()).collect()),
            None => Update::Snapshot(self.snapshot()),
        })
    }

    /// A copy without entries.
    pub(super) fn backed_up(&self) -> Self {
        let (declared, version) = (self.declared, self.version);
        Self { declared, version, version_before_changes: version, ..Self::default() }
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

    /// Whether it has entries, and whether it is declared.
    pub(super) fn uses(&self) -> [bool; 2] {
        [!self.entries.is_empty(), self.declared]
    }

    fn is_blank(&self) -> bool {
        self.uses() == [false; 2]
    }

    fn changed(&mut self, revision: u64, changes: impl IntoIterator<Item = Change>) {
        self.version = if self.is_blank() { Version::default() } else { Version(revision) };
        self.changes.extend(changes.into_iter().map(|change| (self.version, change)));
        while self.changes.len() > CHANGES_KEPT
            && let Some((version, _)) = self.changes.pop_front()
        {
            self.version_before_changes = version;
        }
        self.changed.notify_waiters();
    }
}
