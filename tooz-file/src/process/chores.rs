//! What the worker thread does beside the requests: the look at everything once a second, and the work that is left over.

use std::collections::HashSet;

use tooz_core::driver::Nonce;

use super::state::{Durability, State};
use crate::db::rows::RosterRow;
use crate::db::transaction::STEP;
use crate::error::Outcome;
use crate::layout;
use crate::peers::notify::Notification;

/// After how many commits the write-ahead log is copied into the database. SQLite searches the index of the log at each
/// commit, so a longer log makes commits slower; as many pages are SQLite's own default.
const CHECKPOINT: u32 = 1000;

/// How many empty rosters are kept for the next second.
const MAX_IDLE: usize = 1000;

impl State {
    /// Reads everything again, whatever notifications have come. The worker calls it once a second.
    pub(crate) fn tick(&mut self) -> Outcome<()> {
        self.check_directory()?;
        self.presence.assert()?;
        self.finish_ending()?;
        if !self.db.prepare_cached("SELECT 1 FROM peers WHERE id = ?1")?.exists([self.presence.me()])? {
            self.lose();
            return Ok(());
        }
        let data_version = self.db.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.data_version != data_version {
            self.data_version = data_version;
            self.receive(Notification::All);
        }
        self.directory.touch(&layout::socket(self.presence.me()));
        self.forget_subscriptions()?;
        self.remove_idle()?;
        self.remove_leftovers()
    }

    /// Whether the worker has something to do.
    pub(crate) fn has_chores(&self) -> bool {
        self.lost
            || self.evictions
            || self.notifier.has_unsent()
            || self.commits >= CHECKPOINT
            || self.idle.len() >= MAX_IDLE
    }

    /// Whether so much is left to do that callers must leave the state to the worker.
    pub(crate) fn is_behind(&self) -> bool {
        self.commits >= 2 * CHECKPOINT || self.idle.len() >= 2 * MAX_IDLE
    }

    /// Does the work that requests have left over.
    pub(crate) fn do_chores(&mut self) -> Outcome<()> {
        self.notifier.resend(&self.directory);
        if self.evictions {
            self.evictions = !self.collect_evictions()?;
        }
        if self.commits >= CHECKPOINT {
            self.commits = 0;
            self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
        if self.idle.len() >= MAX_IDLE {
            self.remove_idle()?;
        }
        Ok(())
    }

    /// Removes this process from the directory, with all that it has.
    pub(crate) fn sign_off(&mut self) -> Outcome<()> {
        self.remove_idle()?;
        self.remove_peers(&[self.presence.me()])
    }

    /// Reports evictions that other processes have recorded to their sessions. Returns whether these were all.
    fn collect_evictions(&mut self) -> Outcome<bool> {
        let found: Vec<(i64, i64, Vec<u8>)> = {
            let mut select = self.db.prepare_cached("SELECT rowid, session, nonce FROM evictions WHERE peer = ?1")?;
            let rows = select.query_map([self.presence.me()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.take(STEP).collect::<Result<_, _>>()?
        };
        if found.is_empty() {
            return Ok(true);
        }
        self.write(Durability::Process, |tx| {
            let mut delete = tx.db.prepare_cached("DELETE FROM evictions WHERE rowid = ?1")?;
            for (row, ..) in &found {
                delete.execute([row])?;
            }
            Ok(())
        })?;
        for (_, session, nonce) in &found {
            match (<[u8; 16]>::try_from(&nonce[..]), self.sessions.get_mut(session)) {
                (Ok(nonce), Some(session)) => session.report_eviction(Nonce(u128::from_be_bytes(nonce))),
                (Err(_), Some(_)) => tracing::warn!(session, "skipped an eviction whose nonce has not 16 bytes"),
                (_, None) => {}
            }
        }
        Ok(found.len() < STEP)
    }

    /// Removes subscriptions for which no task waits any more, so that other processes stop notifying this one.
    fn forget_subscriptions(&mut self) -> Outcome<()> {
        self.wakeups.forget_turns();
        let (rosters, topics) = (self.wakeups.rosters.take_idle(), self.wakeups.topics.take_idle());
        self.idle.extend(&rosters);
        for (statement, ids) in [
            ("DELETE FROM watchers WHERE roster = ?1 AND peer = ?2", rosters),
            ("DELETE FROM readers WHERE topic = ?1 AND peer = ?2", topics),
        ] {
            for ids in ids.chunks(STEP) {
                self.write(Durability::Process, |tx| {
                    for id in ids {
                        tx.db.prepare_cached(statement)?.execute([*id, tx.me])?;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Removes the rows of rosters that were left empty and still are.
    fn remove_idle(&mut self) -> Outcome<()> {
        while !self.idle.is_empty() {
            let some: HashSet<i64> = self.idle.iter().copied().take(STEP).collect();
            self.write(Durability::Process, |tx| some.iter().try_for_each(|id| RosterRow::remove_unused(tx.db, *id)))?;
            self.idle.retain(|id| !some.contains(id));
        }
        Ok(())
    }

    /// Removes some of the rows of empty rosters that killed processes have left.
    fn remove_leftovers(&mut self) -> Outcome<()> {
        if self.leftovers {
            let mut select = self.db.prepare_cached(
                "SELECT id FROM rosters WHERE declared = 0
                 AND NOT EXISTS (SELECT 1 FROM entries WHERE roster = rosters.id)
                 AND NOT EXISTS (SELECT 1 FROM watchers WHERE roster = rosters.id)",
            )?;
            let some = select.query_map([], |row| row.get(0))?.take(STEP).collect::<Result<Vec<i64>, _>>()?;
            drop(select);
            self.leftovers = some.len() == STEP;
            self.idle.extend(some);
            self.remove_idle()?;
        }
        Ok(())
    }
}
