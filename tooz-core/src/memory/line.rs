//! One roster in memory: its entries in order, with indexes so that no operation scans them all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::server::SessionId;
use crate::driver::{Entry, IfBlocked, IfTaken, Key, Mode, NewEntry, Nonce, Seq, Snapshot, Standing, Ticket, Version};
use crate::{Error, ErrorKind, Result};

/// An entry with what only the server knows of it.
#[derive(Debug)]
struct Stored {
    entry: Entry,
    session: SessionId,
    admitted: bool,
    /// Made when somebody waits for the turn of this entry.
    turn: Option<Arc<Notify>>,
}

/// The entries of one roster, and who watches them.
#[derive(Debug)]
pub(super) struct Line {
    entries: BTreeMap<Seq, Stored>,
    by_nonce: HashMap<Nonce, Seq>,
    by_key: HashMap<Vec<u8>, Seq>,
    exclusive: u32,
    shared: u32,
    members: u32,
    /// At least the limit of every entry that stands.
    greatest_limit: u32,
    pub(super) declared: bool,
    version: watch::Sender<u64>,
}

/// An entry that was removed: whose it was.
#[derive(Debug)]
pub(super) struct Removed {
    pub(super) session: SessionId,
    pub(super) nonce: Nonce,
}

/// What a waiter sees of its place in line.
#[derive(Debug)]
pub(super) enum Turn {
    Admitted,
    Gone,
    Wait(Arc<Notify>),
}

impl Line {
    /// An empty roster whose content has never been seen with an earlier version.
    pub(super) fn new(version: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_nonce: HashMap::new(),
            by_key: HashMap::new(),
            exclusive: 0,
            shared: 0,
            members: 0,
            greatest_limit: 0,
            declared: false,
            version: watch::Sender::new(version),
        }
    }

    pub(super) fn enter(
        &mut self,
        session: SessionId,
        new: NewEntry<'_>,
        next_seq: &mut u64,
    ) -> Result<(Standing, Option<Removed>)> {
        if let Some(seq) = self.by_nonce.get(&new.nonce) {
            return Ok((self.standing(*seq), None));
        }
        if new.needs_declared && !self.declared {
            return Err(Error::new(ErrorKind::GroupNotCreated, "the group does not exist; create it first"));
        }
        let mut displaced = None;
        if let Key::Unique(key, if_taken) = new.key
            && let Some(seq) = self.by_key.get(key).copied()
        {
            match if_taken {
                IfTaken::Refuse => {
                    return Err(Error::new(
                        ErrorKind::MemberAlreadyExists,
                        "another live session has joined with this member id",
                    ));
                }
                IfTaken::TakeOver => displaced = self.remove(seq),
            }
        }
        let blocked_by = self.blocker_of_last(&new);
        if let (Some(blocked_by), IfBlocked::Withdraw) = (blocked_by, new.if_blocked) {
            return Ok((Standing::Withdrawn { blocked_by }, displaced));
        }
        *next_seq += 1;
        let seq = Seq(*next_seq);
        self.insert(session, seq, &new, blocked_by.is_none());
        let ticket = Ticket { seq, nonce: new.nonce, mode: new.mode, limit: new.limit };
        let standing = match blocked_by {
            None => Standing::Admitted(ticket),
            Some(blocked_by) => Standing::Waiting { ticket, blocked_by },
        };
        Ok((standing, displaced))
    }

    fn insert(&mut self, session: SessionId, seq: Seq, new: &NewEntry<'_>, admitted: bool) {
        let key = match new.key {
            Key::Unique(key, _) => Some(key.to_vec()),
            Key::Nonce => None,
        };
        if let Some(key) = &key {
            self.by_key.insert(key.clone(), seq);
        }
        self.by_nonce.insert(new.nonce, seq);
        *self.count(new.mode) += 1;
        self.greatest_limit = if self.is_empty() { new.limit.get() } else { self.greatest_limit.max(new.limit.get()) };
        let (nonce, mode, limit, value) = (new.nonce, new.mode, new.limit, new.value.to_vec());
        let entry = Entry { seq, nonce, key, mode, limit, value };
        self.entries.insert(seq, Stored { entry, session, admitted, turn: None });
        self.changed();
    }

    /// Removes an entry and wakes those whom that admits.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Removed> {
        let stored = self.entries.remove(&seq)?;
        self.by_nonce.remove(&stored.entry.nonce);
        if let Some(key) = &stored.entry.key {
            self.by_key.remove(key);
        }
        *self.count(stored.entry.mode) -= 1;
        if let Some(turn) = &stored.turn {
            turn.notify_waiters();
        }
        if stored.entry.mode != Mode::Member {
            self.admit();
        }
        self.changed();
        Some(Removed { session: stored.session, nonce: stored.entry.nonce })
    }

    /// The seq of the session's entry that a ticket stands for.
    pub(super) fn find(&self, session: SessionId, ticket: &Ticket) -> Option<Seq> {
        self.find_nonce(session, ticket.nonce).filter(|seq| *seq == ticket.seq)
    }

    pub(super) fn find_nonce(&self, session: SessionId, nonce: Nonce) -> Option<Seq> {
        self.by_nonce.get(&nonce).copied().filter(|seq| self.entries[seq].session == session)
    }

    pub(super) fn replace(&mut self, seq: Seq, value: &[u8]) {
        if let Some(stored) = self.entries.get_mut(&seq) {
            stored.entry.value = value.to_vec();
            self.changed();
        }
    }

    pub(super) fn declare(&mut self, declared: bool) -> bool {
        let before = std::mem::replace(&mut self.declared, declared);
        self.changed();
        before != declared
    }

    pub(super) fn turn(&mut self, ticket: &Ticket) -> Turn {
        let seq = self.by_nonce.get(&ticket.nonce).filter(|seq| **seq == ticket.seq);
        let found = seq.and_then(|seq| self.entries.get_mut(seq));
        match found {
            None => Turn::Gone,
            Some(stored) if stored.admitted => Turn::Admitted,
            Some(stored) => Turn::Wait(stored.turn.get_or_insert_default().clone()),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let entries = self.entries.values().map(|stored| stored.entry.clone()).collect();
        Snapshot { version: Version(*self.version.borrow()), declared: self.declared, entries }
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Removes every entry of a session that has ended.
    pub(super) fn remove_session(&mut self, session: SessionId) {
        let theirs: Vec<_> =
            self.entries.iter().filter(|(_, stored)| stored.session == session).map(|(seq, _)| *seq).collect();
        for seq in theirs {
            self.remove(seq);
        }
    }

    /// Whether nothing would be lost if the line were forgotten.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && !self.declared && self.version.receiver_count() == 0
    }

    fn standing(&self, seq: Seq) -> Standing {
        let stored = &self.entries[&seq];
        let Entry { nonce, mode, limit, .. } = stored.entry;
        let ticket = Ticket { seq, nonce, mode, limit };
        match stored.admitted {
            true => Standing::Admitted(ticket),
            false => {
                let blocked_by = self.nearest_conflict(seq, mode).unwrap_or(seq);
                Standing::Waiting { ticket, blocked_by }
            }
        }
    }

    /// The admission rule for an entry behind all others, from the counts.
    fn blocker_of_last(&self, new: &NewEntry<'_>) -> Option<Seq> {
        let before = match new.mode {
            Mode::Exclusive => self.exclusive + self.shared,
            Mode::Shared => self.exclusive,
            Mode::Member => 0,
        };
        (before >= new.limit.get()).then(|| self.nearest_conflict(Seq(u64::MAX), new.mode)).flatten()
    }

    fn nearest_conflict(&self, before: Seq, mode: Mode) -> Option<Seq> {
        let mut earlier = self.entries.range(..before).rev();
        earlier.find(|(_, stored)| crate::driver::admission::conflicts(mode, stored.entry.mode)).map(|(seq, _)| *seq)
    }

    /// Marks and wakes the entries at the head of the line that have become admitted.
    fn admit(&mut self) {
        let (mut exclusive, mut shared) = (0, 0);
        for stored in self.entries.values_mut() {
            let (before, count) = match stored.entry.mode {
                Mode::Exclusive => (exclusive + shared, &mut exclusive),
                Mode::Shared => (exclusive, &mut shared),
                Mode::Member => continue,
            };
            *count += 1;
            if !stored.admitted && before < stored.entry.limit.get() {
                stored.admitted = true;
                stored.turn.iter().for_each(|turn| turn.notify_waiters());
            }
            if exclusive >= self.greatest_limit {
                break;
            }
        }
    }

    fn count(&mut self, mode: Mode) -> &mut u32 {
        match mode {
            Mode::Exclusive => &mut self.exclusive,
            Mode::Shared => &mut self.shared,
            Mode::Member => &mut self.members,
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}
