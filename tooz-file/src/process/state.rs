//! The state of this process in one directory: its connection, its sessions and the tasks that wait. One thread at a
//! time uses it.
//!
//! A dead session must never add an entry, so a transaction checks that the process is still in `peers`. Acquiring and
//! releasing a lock are the most frequent operations and save that statement: the statement that takes the next number
//! includes the check, and an entry that is still there to be removed proves it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;
use tooz_core::driver::support::session_lost;

use super::local_session::LocalSession;
use super::wakeups::Wakeups;
use crate::db::busy;
use crate::db::connection::{close_inherited, set_durable};
use crate::db::sequence::Sequence;
use crate::db::transaction::{Transaction, immediate};
use crate::directory::Directory;
use crate::error::{Fault, Outcome};
use crate::peers::liveness::Presence;
use crate::peers::notify::{Notification, Notifier};
use crate::peers::registry;

/// How safe a transaction is when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A crash of the process does not undo it, a power cut may.
    Process,
    /// It is on disk.
    Disk,
}

/// The result of a transaction that entries of dead processes may have stopped.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    Done(T),
    /// Remove these peers, and try again.
    Dead(Vec<i64>),
}

/// The state. The connection is declared, and so dropped, before the descriptor whose closing frees its locks.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) db: Connection,
    pub(crate) presence: Presence,
    pub(crate) directory: Arc<Directory>,
    pub(crate) sessions: HashMap<i64, LocalSession>,
    /// Sessions that are over but still have rows.
    pub(crate) ending: Vec<i64>,
    pub(crate) wakeups: Wakeups,
    pub(crate) notifier: Notifier,
    /// The database file that was opened. Another one at its path means that the directory was emptied.
    pub(crate) identity: (u64, u64),
    pub(crate) sequence: Sequence,
    pub(crate) data_version: i64,
    /// Commits since the write-ahead log was last copied.
    pub(crate) commits: u32,
    /// Rosters that this process has left empty, whose rows can be removed if they still are.
    pub(crate) idle: HashSet<i64>,
    /// Another process may have recorded evictions.
    pub(crate) evictions: bool,
    /// Killed processes may have left rows of empty rosters.
    pub(crate) leftovers: bool,
    /// This process no longer belongs to the directory, and all its sessions are over.
    pub(crate) lost: bool,
}

impl State {
    /// Runs `verb` as one transaction, then notifies the processes that it concerns. An error means that nothing changed.
    ///
    /// Fails if the database was replaced, or if another process has taken this one for dead.
    pub(crate) fn write<T>(
        &mut self,
        durability: Durability,
        verb: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        self.check_directory()?;
        self.write_unchecked(durability, |tx| {
            tx.check_alive()?;
            verb(tx)
        })
    }

    /// As [`write`](Self::write), for a verb that makes these checks itself where they matter.
    pub(crate) fn write_unchecked<T>(
        &mut self,
        durability: Durability,
        verb: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        if durability == Durability::Disk {
            set_durable(&self.db, true)?;
        }
        let mut tx = Transaction::new(&self.db, &self.presence);
        let result = immediate(&self.db, || verb(&mut tx));
        let Transaction { notifications, idle, sequence, .. } = tx;
        if durability == Durability::Disk {
            set_durable(&self.db, false)?;
        }
        let value = result?;
        self.commits += 1;
        self.sequence = sequence.unwrap_or(self.sequence);
        self.idle.extend(idle);
        for (peer, notification) in notifications {
            self.send(peer, notification);
        }
        Ok(value)
    }

    /// Runs `verb` in a transaction again and again until no dead process stops it. The verb makes its own checks.
    pub(crate) fn write_past_dead<T>(
        &mut self,
        durability: Durability,
        mut verb: impl FnMut(&mut Transaction<'_>) -> Outcome<Attempt<T>>,
    ) -> Outcome<T> {
        loop {
            match self.write_unchecked(durability, &mut verb)? {
                Attempt::Done(value) => return Ok(value),
                Attempt::Dead(peers) => self.remove_peers(&peers)?,
            }
        }
    }

    /// Removes those of the peers that are dead. Returns whether there were any.
    pub(crate) fn remove_dead(&mut self, peers: &[i64]) -> Outcome<bool> {
        let dead = self.presence.dead_among(peers);
        self.remove_peers(&dead)?;
        Ok(!dead.is_empty())
    }

    /// Removes peers with all that they have, in as many transactions as that takes.
    pub(crate) fn remove_peers(&mut self, peers: &[i64]) -> Outcome<()> {
        for peer in peers {
            tracing::debug!(peer, "removing what a process has left");
            self.write_in_steps(|tx| registry::remove_some(tx, *peer))?;
            self.directory.remove_socket(*peer);
        }
        Ok(())
    }

    /// Ends a session of this process; a second time it does nothing. If the database is not available the session is
    /// over all the same, and its entries are removed as soon as they can be.
    pub(crate) fn end_session(&mut self, session: i64) -> Outcome<()> {
        if let Some(ended) = self.sessions.remove(&session) {
            ended.end();
            self.ending.push(session);
        }
        self.finish_ending()
    }

    /// Removes the rows of the sessions that are over.
    pub(crate) fn finish_ending(&mut self) -> Outcome<()> {
        while let Some(session) = self.ending.last().copied()
            && !self.lost
        {
            self.write_in_steps(|tx| registry::remove_some_of_session(tx, session))?;
            self.ending.pop();
        }
        Ok(())
    }

    /// The session of this process with this id. Fails if it is over.
    pub(crate) fn session(&mut self, session: i64) -> Outcome<&mut LocalSession> {
        self.sessions.get_mut(&session).ok_or_else(|| session_lost().into())
    }

    /// Acts on a notification, from another process or from this one.
    pub(crate) fn receive(&mut self, notification: Notification) {
        self.evictions |= matches!(notification, Notification::Evictions | Notification::All);
        self.wakeups.wake(notification);
    }

    /// Prepares for a transaction that takes a number of the sequence, and reserves numbers if few are left.
    pub(crate) fn reserve_numbers(&mut self) -> Outcome<()> {
        self.check_directory()?;
        if self.sequence.is_short() {
            self.sequence = self.write(Durability::Disk, |tx| Sequence::reserve(tx.db))?;
        }
        Ok(())
    }

    /// Ends all sessions at once: this process no longer belongs to the directory.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
        self.sessions.drain().for_each(|(_, session)| session.lose());
    }

    /// Fails if the database was removed or replaced.
    pub(crate) fn check_directory(&mut self) -> Outcome<()> {
        if !self.lost && !self.directory.identity().is_ok_and(|identity| identity == self.identity) {
            tracing::error!(directory = %self.directory.path().display(), "the database was removed or replaced");
            self.lose();
        }
        if self.lost { Err(session_lost().into()) } else { Ok(()) }
    }

    /// Closes a copy that a fork has made of the parent's state, without any effect on the parent.
    pub(crate) fn close_inherited(self) -> Outcome<()> {
        close_inherited(self.db)
    }

    /// Repeats a bounded transaction until it returns `true`. A thread that may not wait does one only.
    pub(crate) fn write_in_steps(
        &mut self,
        mut step: impl FnMut(&mut Transaction<'_>) -> Outcome<bool>,
    ) -> Outcome<()> {
        while !self.write(Durability::Process, &mut step)? {
            if !busy::may_wait() {
                return Err(Fault::Unfinished);
            }
        }
        Ok(())
    }

    fn send(&mut self, peer: i64, notification: Notification) {
        match peer == self.presence.me() {
            true => self.receive(notification),
            false => self.notifier.send(&self.directory, peer, notification),
        }
    }
}
