//! The state of this process in one directory: its connection, its sessions and the tasks that wait. One thread at a
//! time uses it.
//!
//! A process that others consider dead must never add an entry. Acquiring a lock is the most frequent operation, so the
//! statement that takes a number of the sequence includes this check. A removal needs no check if the entry is still
//! there. Other verbs that must not succeed then call [`Transaction::check_alive`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, broadcast, watch};
use tooz_core::driver::support::{Tombstones, session_lost};
use tooz_core::driver::{Loss, Mode, Nonce, Ticket, Wakeup, Wakeups};

use crate::db::busy;
use crate::db::connection::set_durable;
use crate::db::objects::{self, NAMES, Target};
use crate::db::rosters::{number_of, remove_entries};
use crate::db::transaction::{STEP, Transaction, immediate};
use crate::directory::Directory;
use crate::error::{Fault, Outcome};
use crate::peers::liveness::Presence;
use crate::peers::notify::{Notification, Notifier};
use crate::peers::registry;

/// How many withdrawn nonces a session remembers: more than it has requests under way.
const TOMBSTONES: usize = 128;

/// The state. The connection is declared, and so dropped, before the descriptor whose closing frees its locks.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) db: Connection,
    pub(crate) presence: Presence,
    pub(crate) directory: Arc<Directory>,
    pub(super) sessions: HashMap<u64, LocalSession>,
    pub(super) last_session: u64,
    /// The entries of ended sessions that are not removed yet: their rosters, modes and seqs.
    pub(super) ending: Vec<(i64, Mode, i64)>,
    /// The tasks that wait, by the [names](Notification::name) of notifications.
    pub(crate) wakeups: Wakeups,
    /// The ids of objects that come into use, for the tasks that watch for names.
    pub(super) new_names: broadcast::Sender<i64>,
    /// The objects that this process watches.
    pub(super) watched: HashSet<i64>,
    pub(super) notifier: Notifier,
    /// The database file that was opened. Another one at its path means that the directory was emptied.
    pub(super) identity: (u64, u64),
    pub(super) data_version: i64,
    /// Commits since the write-ahead log was last copied.
    pub(super) commits: u32,
    /// A commit may have left objects that are not used. Those up to the id `swept` have been examined since.
    pub(super) unswept: bool,
    pub(super) swept: i64,
    /// Another process may have recorded evictions.
    pub(super) evictions: bool,
    /// This process no longer belongs to the directory, and all its sessions are over.
    pub(super) lost: bool,
}

/// The result of a read, or a receiver that is notified when it is time to read again.
///
/// A task subscribes under the lock that protects the state, in the same step in which it reads, so it misses no change.
#[derive(Debug)]
pub(crate) enum Read<T> {
    Ready(T),
    Wait(watch::Receiver<Wakeup>),
}

/// What this process remembers of one of its sessions.
#[derive(Debug)]
pub(crate) struct LocalSession {
    /// Where losses are reported. Dropping it reports the end of the session.
    losses: UnboundedSender<Loss>,
    /// Wakes the tasks of the session that wait, when it ends.
    over: Arc<Notify>,
    /// Its entries, which another process may have removed meanwhile.
    pub(crate) entries: HashMap<Nonce, OwnEntry>,
    /// The nonces that must not enter any more.
    pub(crate) tombstones: Tombstones,
}

/// An entry of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnEntry {
    /// The id of its roster.
    pub(crate) roster: i64,
    pub(crate) ticket: Ticket,
}

impl LocalSession {
    pub(crate) fn new(losses: UnboundedSender<Loss>, over: Arc<Notify>) -> Self {
        Self { losses, over, entries: HashMap::new(), tombstones: Tombstones::new(TOMBSTONES) }
    }

    /// The entry of a ticket, if it is one of this session.
    pub(crate) fn entry(&self, ticket: &Ticket) -> Option<OwnEntry> {
        self.entries.get(&ticket.nonce).copied().filter(|own| own.ticket == *ticket)
    }

    /// Reports that another client has removed an entry, if it is one of this session.
    pub(super) fn report_eviction(&mut self, nonce: Nonce) {
        if self.entries.remove(&nonce).is_some() {
            // Without a receiver the session is not used any more.
            let _ = self.losses.send(Loss::Entry(nonce));
        }
    }
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        self.over.notify_waiters();
    }
}

impl State {
    /// Runs `verb` as one transaction, then notifies the processes that it concerns. An error means that nothing changed.
    /// If entries of dead processes stop the verb, they are removed, and it runs again.
    ///
    /// A crash of this process does not undo the transaction; a power cut may. Fails if the database was replaced. A verb
    /// that would add something for a dead process checks that by itself.
    pub(crate) fn write<T>(&mut self, mut verb: impl FnMut(&mut Transaction<'_>) -> Outcome<T>) -> Outcome<T> {
        loop {
            match self.write_once(&mut verb) {
                Err(Fault::Dead(peers)) => self.remove_peers(&peers)?,
                outcome => return outcome,
            }
        }
    }

    /// As [`write`](Self::write), and the disk has it on return.
    pub(crate) fn write_to_disk<T>(&mut self, verb: impl FnMut(&mut Transaction<'_>) -> Outcome<T>) -> Outcome<T> {
        if !busy::may_wait() {
            return Err(Fault::NeedsTime);
        }
        set_durable(&self.db, true)?;
        let result = self.write(verb);
        set_durable(&self.db, false)?;
        result
    }

    fn write_once<T>(&mut self, verb: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>) -> Outcome<T> {
        self.check_directory()?;
        let mut tx = Transaction::new(&self.db, &self.presence);
        let result = immediate(&self.db, || verb(&mut tx));
        let notifications = tx.notifications;
        let value = result?;
        self.commits += 1;
        self.unswept = true;
        notifications.into_iter().for_each(|(peer, notification)| self.send(peer, notification));
        Ok(value)
    }

    /// Calls `read`. If it finds nothing, this process watches the object, and the caller waits for the next change.
    pub(crate) fn read_or_wait<T>(
        &mut self,
        target: &Target,
        mut read: impl FnMut(&mut Self) -> Outcome<Option<T>>,
    ) -> Outcome<Read<T>> {
        if let Some(found) = read(self)? {
            return Ok(Read::Ready(found));
        }
        let (_, changed) = self.watch(target)?;
        // Another process may have changed the object before it knew that this one watches it.
        Ok(read(self)?.map_or(Read::Wait(changed), Read::Ready))
    }

    /// Watches an object as long as a task has the receiver. Returns the id of the object, too.
    pub(crate) fn watch(&mut self, target: &Target) -> Outcome<(i64, watch::Receiver<Wakeup>)> {
        let id = match objects::find(&self.db, target)?.filter(|id| self.watched.contains(id)) {
            Some(id) => id,
            None => self.write(|tx| objects::watch(tx, target))?,
        };
        self.watched.insert(id);
        Ok((id, self.wakeups.subscribe(&Notification::Object(id).name())))
    }

    /// Watches for names that come into use, as long as a task has the receivers: of the objects that come into use, and of
    /// a notification that others may have been missed.
    pub(crate) fn watch_names(&mut self) -> Outcome<(broadcast::Receiver<i64>, watch::Receiver<Wakeup>)> {
        if !self.watched.contains(&NAMES) {
            self.write(|tx| objects::add_watcher(tx, NAMES))?;
            self.watched.insert(NAMES);
        }
        Ok((self.new_names.subscribe(), self.wakeups.subscribe(&Notification::Object(NAMES).name())))
    }

    /// Removes the dead ones among the peers. Returns whether there were any.
    pub(crate) fn remove_dead(&mut self, peers: &[i64]) -> Outcome<bool> {
        let dead = self.presence.dead_among(peers);
        self.remove_peers(&dead)?;
        Ok(!dead.is_empty())
    }

    /// Removes peers with all that they have, in as many transactions as that takes. A thread that may not wait runs only
    /// one transaction.
    pub(super) fn remove_peers(&mut self, peers: &[i64]) -> Outcome<()> {
        for peer in peers {
            tracing::debug!(peer, "removing what a process has left");
            while !self.write_once(|tx| registry::remove_some(tx, *peer))? {
                if !busy::may_wait() {
                    return Err(Fault::NeedsTime);
                }
            }
            self.directory.remove_socket(*peer);
        }
        Ok(())
    }

    /// Adds a session, and returns its id.
    pub(super) fn add_session(&mut self, session: LocalSession) -> u64 {
        self.last_session += 1;
        self.sessions.insert(self.last_session, session);
        self.last_session
    }

    pub(crate) fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Ends a session of this process; a second call does nothing. Even if the database is not available, the session is
    /// over, and its entries are removed later.
    pub(crate) fn end_session(&mut self, session: u64) -> Outcome<()> {
        let ended = self.sessions.remove(&session);
        let entries = ended.iter().flat_map(|session| session.entries.values());
        self.ending.extend(entries.map(|own| (own.roster, own.ticket.mode, number_of(own.ticket.seq))));
        self.ending.sort_unstable_by_key(|(roster, ..)| *roster);
        drop(ended);
        self.finish_ending()
    }

    /// Removes the entries of the sessions that are over, in as many transactions as that takes.
    pub(super) fn finish_ending(&mut self) -> Outcome<()> {
        while !self.ending.is_empty() && !self.lost {
            let left = self.ending.len().saturating_sub(STEP);
            let some = self.ending[left..].to_vec();
            self.write_once(|tx| remove_entries(tx, tx.me(), &some))?;
            self.ending.truncate(left);
            if left > 0 && !busy::may_wait() {
                return Err(Fault::NeedsTime);
            }
        }
        Ok(())
    }

    /// The session of this process with this id. Fails if it is over.
    pub(crate) fn session(&mut self, session: u64) -> Outcome<&mut LocalSession> {
        self.sessions.get_mut(&session).ok_or_else(|| session_lost().into())
    }

    /// Acts on a notification, from another process or from this one.
    pub(super) fn receive(&mut self, notification: Notification) {
        self.evictions |= matches!(notification, Notification::Evictions | Notification::All);
        match notification {
            Notification::All => self.wakeups.wake_all(),
            // Without a receiver there is no watch any more.
            Notification::Name(id) => drop(self.new_names.send(id)),
            one => self.wakeups.wake(&one.name(), Wakeup::Changed),
        }
    }

    /// Ends all sessions at once: this process no longer belongs to the directory.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.sessions.clear();
    }

    /// Fails if the database was removed or replaced.
    pub(super) fn check_directory(&mut self) -> Outcome<()> {
        if !self.lost && !self.directory.identity().is_ok_and(|identity| identity == self.identity) {
            tracing::error!(directory = %self.directory.path().display(), "the database was removed or replaced");
            self.lose();
        }
        if self.lost { Err(session_lost().into()) } else { Ok(()) }
    }

    fn send(&mut self, peer: i64, notification: Notification) {
        match peer == self.presence.me() {
            true => self.receive(notification),
            false => self.notifier.send(&self.directory, peer, notification),
        }
    }
}
