//! What a process holds of one directory: the connection, its sessions, and who waits for what. One at a time uses it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tooz_core::driver::{Loss, Nonce, Roster};

use crate::database::{set_durable, transaction};
use crate::directory::Directory;
use crate::error::{Outcome, session_lost};
use crate::line::Line;
use crate::poke::{Poke, Post};
use crate::watch::Bells;
use crate::work::{Clock, Work};

/// How many numbers of the clock are made safe on disk at once.
const RESERVE: i64 = 1 << 16;

/// How many withdrawn nonces a session remembers: more than it has requests under way.
const WITHDRAWN_KEPT: usize = 128;

/// After how many commits the write-ahead log is copied into the database. As many pages are SQLite's own default: to
/// note a page in the index of the log it passes the notes of all earlier copies, so each commit costs more than the last.
const CHECKPOINT: u32 = 1000;

/// How many empty rosters are kept for the next second.
const MAX_IDLE: usize = 1000;

/// The state of an engine.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) db: Connection,
    pub(crate) directory: Arc<Directory>,
    /// The id of this process in `peers`.
    pub(crate) me: i64,
    /// The sessions of this process.
    pub(crate) sessions: HashMap<i64, Held>,
    /// Sessions that are over but still have rows.
    pub(crate) ending: Vec<i64>,
    pub(crate) bells: Bells,
    pub(crate) post: Post,
    /// The database file that we opened; another one at its path means that the directory was emptied under us.
    pub(crate) identity: (u64, u64),
    pub(crate) clock: Clock,
    pub(crate) data_version: i64,
    /// Commits since the last checkpoint.
    pub(crate) commits: u32,
    /// Rosters that this process has left empty, whose rows may go if they still are.
    pub(crate) idle: HashSet<i64>,
    /// Others may have left word of evictions.
    pub(crate) evictions: bool,
    /// Nothing is ours any more, and nothing can be done about it.
    pub(crate) lost: bool,
}

/// What this process holds of a session.
#[derive(Debug)]
pub(crate) struct Held {
    losses: UnboundedSender<Loss>,
    /// The places of its entries, unless somebody else has removed them.
    standing: HashMap<Nonce, Place>,
    /// The newest nonces that were withdrawn.
    withdrawn: VecDeque<Nonce>,
    over: Arc<Notify>,
}

/// Where an entry of this process stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) roster: Roster,
    /// The id of the row of the roster, which no other roster gets while the entry stands.
    pub(crate) id: i64,
    pub(crate) seq: i64,
    /// Nobody else stood there when it entered.
    pub(crate) alone: bool,
}

impl Held {
    /// A session that is told of its losses and, by `over`, of its end.
    pub(crate) fn new(losses: UnboundedSender<Loss>, over: Arc<Notify>) -> Self {
        Self { losses, standing: HashMap::new(), withdrawn: VecDeque::new(), over }
    }

    /// Sees to it that an entry with this nonce never enters.
    pub(crate) fn bar(&mut self, nonce: Nonce) {
        self.withdrawn.truncate(WITHDRAWN_KEPT - 1);
        self.withdrawn.push_front(nonce);
    }

    pub(crate) fn is_barred(&self, nonce: Nonce) -> bool {
        self.withdrawn.contains(&nonce)
    }

    /// Remembers where an entry of this session stands, or that it does not any more.
    pub(crate) fn note(&mut self, nonce: Nonce, place: Option<Place>) {
        match place {
            Some(place) => self.standing.insert(nonce, place),
            None => self.standing.remove(&nonce),
        };
    }

    /// Where the entry with this nonce stood last.
    pub(crate) fn place_of(&self, nonce: Nonce) -> Option<&Place> {
        self.standing.get(&nonce)
    }

    fn report(&self, loss: Loss) {
        // A receiver that is gone means a session that nobody uses any more.
        let _ = self.losses.send(loss);
    }
}

impl Core {
    /// Runs `verb` as one transaction, then tells those whom it concerns.
    ///
    /// An error means that nothing was changed.
    pub(crate) fn write<T>(&mut self, verb: impl FnOnce(&mut Work<'_>) -> Outcome<T>) -> Outcome<T> {
        self.prepare()?;
        self.commit(|work| {
            work.check_alive()?;
            verb(work)
        })
    }

    /// As [`write`](Self::write), but `verb` makes sure by itself that others do not hold this process for dead.
    pub(crate) fn write_checking<T>(&mut self, verb: impl FnOnce(&mut Work<'_>) -> Outcome<T>) -> Outcome<T> {
        self.prepare()?;
        self.commit(verb)
    }

    /// As [`write`](Self::write), but returns when the disk has it.
    pub(crate) fn write_durably<T>(&mut self, verb: impl FnOnce(&mut Work<'_>) -> Outcome<T>) -> Outcome<T> {
        self.prepare()?;
        set_durable(&self.db, true)?;
        let result = self.commit(|work| {
            work.check_alive()?;
            verb(work)
        });
        set_durable(&self.db, false)?;
        result
    }

    /// What all of them have in common. Enough for a verb that only removes or changes entries of this process: that one
    /// stands shows that others do not hold us for dead, and without one `verb` asks.
    pub(crate) fn commit<T>(&mut self, verb: impl FnOnce(&mut Work<'_>) -> Outcome<T>) -> Outcome<T> {
        let mut work = Work::new(&self.db, &self.directory, &self.post, self.me);
        let value = transaction(&self.db, || verb(&mut work))?;
        let Work { pokes, buried, idle, clock, .. } = work;
        self.clock = clock.unwrap_or(self.clock);
        self.commits += 1;
        self.idle.extend(idle);
        buried.into_iter().for_each(|peer| self.directory.remove_sockets(peer));
        self.deliver(pokes);
        Ok(value)
    }

    /// Fails if the session is not one of ours any more. Every verb asks.
    pub(crate) fn check_session(&self, session: i64) -> Outcome<()> {
        match !self.lost && self.sessions.contains_key(&session) {
            true => Ok(()),
            false => Err(session_lost().into()),
        }
    }

    /// Ends a session of this process; a second time it does nothing. If the database is not available the session is
    /// over all the same, and its entries go as soon as they can.
    pub(crate) fn end_session(&mut self, session: i64) -> Outcome<()> {
        if let Some(held) = self.sessions.remove(&session) {
            held.over.notify_waiters();
            self.ending.push(session);
        }
        self.finish_ending()
    }

    fn finish_ending(&mut self) -> Outcome<()> {
        if self.ending.is_empty() || self.lost {
            return Ok(());
        }
        let ending = self.ending.clone();
        self.write(|work| ending.iter().try_for_each(|session| work.end_session(*session)))?;
        self.ending.clear();
        Ok(())
    }

    /// Removes those among `peers` that are dead, with all they had. Returns whether there were any.
    pub(crate) fn bury_dead(&mut self, peers: &[i64]) -> Outcome<bool> {
        let dead = |peer: &i64| *peer != self.me && self.post.is_dead(&self.directory, *peer);
        if !peers.iter().any(dead) {
            return Ok(false);
        }
        self.write(|work| work.bury_dead(peers.iter().copied()))
    }

    /// Hands the evictions that others have left for us to their sessions.
    fn collect_evictions(&mut self) -> Outcome<()> {
        let found: Vec<(i64, [u8; 16])> = {
            let mut select = self.db.prepare_cached("SELECT session, nonce FROM evictions WHERE peer = ?1")?;
            select.query_map([self.me], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
        };
        if found.is_empty() {
            return Ok(());
        }
        self.write(|work| {
            work.db.prepare_cached("DELETE FROM evictions WHERE peer = ?1")?.execute([work.me])?;
            Ok(())
        })?;
        for (session, nonce) in found {
            if let Some(held) = self.sessions.get_mut(&session) {
                let nonce = Nonce(u128::from_be_bytes(nonce));
                held.note(nonce, None);
                held.report(Loss::Entry(nonce));
            }
        }
        Ok(())
    }

    /// Acts on a poke, from another process or our own.
    pub(crate) fn receive(&mut self, poke: Poke) {
        match poke {
            Poke::Evictions => self.evictions = true,
            Poke::All => {
                self.bells.ring_all();
                self.evictions = true;
            }
            poke => self.bells.ring(poke),
        }
    }

    /// What the engine's thread does once a second: the backstop behind all pokes.
    pub(crate) fn tick(&mut self) -> Outcome<()> {
        self.check_place()?;
        self.finish_ending()?;
        let known = self.db.prepare_cached("SELECT 1 FROM peers WHERE id = ?1")?.exists([self.me])?;
        if !known {
            self.lose();
            return Ok(());
        }
        let data_version = self.db.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.data_version != data_version {
            self.data_version = data_version;
            self.receive(Poke::All);
        }
        self.forget_idle()?;
        self.tidy()
    }

    /// Removes the rows of rosters that were left empty and still are.
    pub(crate) fn tidy(&mut self) -> Outcome<()> {
        if self.idle.is_empty() {
            return Ok(());
        }
        let idle = std::mem::take(&mut self.idle);
        self.write(|work| idle.into_iter().try_for_each(|id| Line::tidy(work.db, id)))
    }

    /// Whether the engine's thread has something to do for us.
    pub(crate) fn has_chores(&self) -> bool {
        self.evictions || self.post.has_unsent() || self.commits >= CHECKPOINT || self.idle.len() >= MAX_IDLE
    }

    /// Whether so much is left to do that callers must make room for the engine's thread.
    pub(crate) fn is_behind(&self) -> bool {
        self.commits >= 2 * CHECKPOINT || self.idle.len() >= 2 * MAX_IDLE
    }

    /// Does it.
    pub(crate) fn do_chores(&mut self) -> Outcome<()> {
        self.post.resend(&self.directory);
        if self.evictions {
            self.collect_evictions()?;
            self.evictions = false;
        }
        if self.commits >= CHECKPOINT {
            self.commits = 0;
            self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
        if self.idle.len() >= MAX_IDLE {
            self.tidy()?;
        }
        Ok(())
    }

    /// Ends all sessions at once: the directory is not ours any more.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
        for (_, held) in self.sessions.drain() {
            held.report(Loss::Session(session_lost()));
            held.over.notify_waiters();
        }
    }

    fn check_place(&mut self) -> Outcome<()> {
        if !self.lost && !self.directory.identity().is_ok_and(|identity| identity == self.identity) {
            tracing::error!(directory = %self.directory.path().display(), "the database was removed or replaced");
            self.lose();
        }
        if self.lost { Err(session_lost().into()) } else { Ok(()) }
    }

    fn deliver(&mut self, pokes: Vec<(i64, Poke)>) {
        for (peer, poke) in pokes {
            match peer == self.me {
                true => self.receive(poke),
                false => self.post.send(&self.directory, peer, poke),
            }
        }
    }

    fn prepare(&mut self) -> Outcome<()> {
        self.check_place()?;
        match self.clock.last + RESERVE / 2 > self.clock.reserved {
            true => self.reserve(),
            false => Ok(()),
        }
    }

    /// Makes the next numbers of the clock safe: after a power cut it goes on behind them. Done when half of them are
    /// used up, so that what several processes take at once is safe too.
    fn reserve(&mut self) -> Outcome<()> {
        set_durable(&self.db, true)?;
        let reserved = transaction(&self.db, || {
            let Clock { last, .. } = Clock::read(&self.db)?;
            let clock = Clock { last, reserved: last + RESERVE };
            clock.write(&self.db)?;
            Ok(clock)
        });
        set_durable(&self.db, false)?;
        self.clock = reserved?;
        Ok(())
    }
}
