//! What the worker thread does besides executing requests: once a second it reads everything again, and in between it
//! does the work that requests and other processes have left for it.
//!
//! - A notification may be lost, and a process may die before it sends one. Reading everything again bounds the delay.
//! - The removal of the last entry keeps the row of the roster. Otherwise the next acquire would add the row again, and both
//!   commits would write two more pages. Instead, the worker removes unused rows page by page, if there was a commit since
//!   it last examined all of them.

use std::time::{Duration, Instant};

use tooz_core::driver::Nonce;

use super::state::State;
use crate::db::transaction::STEP;
use crate::db::{busy, objects};
use crate::error::Outcome;
use crate::layout;
use crate::peers::notify::Notification;

/// How long the worker waits for a busy database when no caller waits for the result.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// After how many commits the write-ahead log is copied into the database. SQLite searches the index of the log at each
/// commit, so a longer log makes commits slower. A commit writes one or two pages, and 1,000 pages are SQLite's own
/// default.
const CHECKPOINT: u32 = 700;

/// How many objects are examined at once: more than [`CHECKPOINT`] commits can add.
const SWEPT: usize = 1000;

impl State {
    /// Reads everything again, whatever notifications have come. The worker calls it once a second.
    pub(super) fn tick(&mut self) -> Outcome<()> {
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
        self.remove_unwatched()?;
        self.remove_unused()
    }

    /// Whether requests have left work to the worker.
    pub(super) fn has_work(&self) -> bool {
        !self.has_sessions() || self.evictions || self.notifier.has_unsent() || self.commits >= CHECKPOINT
    }

    /// Whether so much work is left that requests must be queued for the worker.
    pub(super) fn is_behind(&self) -> bool {
        self.commits >= 2 * CHECKPOINT
    }

    /// Does the work that is left.
    pub(super) fn work(&mut self) -> Outcome<()> {
        self.notifier.resend(&self.directory);
        if self.evictions {
            self.collect_evictions()?;
            self.evictions = false;
        }
        if self.commits >= CHECKPOINT {
            self.commits = 0;
            self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            self.remove_unused()?;
        }
        Ok(())
    }

    /// Removes this process from the directory, with all that it has.
    pub(super) fn deregister(&mut self) {
        let left = busy::until(Some(Instant::now() + PATIENCE), || {
            self.remove_unused()?;
            self.remove_peers(&[self.presence.me()])
        });
        if let Err(fault) = left {
            tracing::debug!(?fault, "failed to remove this process from the directory; another process will do so");
        }
    }

    /// Reports to the sessions which of their entries other clients have evicted.
    fn collect_evictions(&mut self) -> Outcome<()> {
        let me = self.presence.me();
        while self.db.prepare_cached("SELECT 1 FROM evictions WHERE peer = ?1")?.exists([me])? {
            let nonces: Vec<Vec<u8>> = self.write(|tx| {
                let mut delete = tx.db.prepare_cached(
                    "DELETE FROM evictions WHERE rowid IN (SELECT rowid FROM evictions WHERE peer = ?1 LIMIT ?2)
                     RETURNING nonce",
                )?;
                Ok(delete.query_map([me, STEP as i64], |row| row.get(0))?.collect::<Result<_, _>>()?)
            })?;
            for nonce in nonces.into_iter().filter_map(|nonce| nonce.try_into().ok()).map(u128::from_be_bytes) {
                self.sessions.values_mut().for_each(|session| session.report_eviction(Nonce(nonce)));
            }
        }
        Ok(())
    }

    /// Ends the watch of objects for which no task waits any more, so that other processes stop notifying this one.
    fn remove_unwatched(&mut self) -> Outcome<()> {
        let waits = |id: &&i64| self.wakeups.has_waiters(&Notification::Object(**id).name());
        let idle: Vec<i64> = self.watched.iter().filter(|id| !waits(id)).copied().collect();
        for some in idle.chunks(STEP) {
            self.write(|tx| some.iter().try_for_each(|id| objects::unwatch(tx, *id)))?;
            self.watched.retain(|id| !some.contains(id));
        }
        self.wakeups.remove_unused();
        Ok(())
    }

    /// Examines the next objects, if there was a commit since all were examined, and removes what is not used.
    fn remove_unused(&mut self) -> Outcome<()> {
        if self.swept == 0 && !std::mem::take(&mut self.unswept) {
            return Ok(());
        }
        let page = objects::page(&self.db, self.swept, SWEPT)?;
        let unused: Vec<i64> = page.iter().filter(|(_, unused)| *unused).map(|(id, _)| *id).collect();
        for some in unused.chunks(STEP) {
            self.write(|tx| some.iter().try_for_each(|id| objects::remove_unused(tx.db, *id)))?;
        }
        self.swept = if page.len() < SWEPT { 0 } else { page[SWEPT - 1].0 };
        Ok(())
    }
}
