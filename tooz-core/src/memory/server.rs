//! A server in memory: sessions, rosters and logs behind one mutex, and the faults that a test can cause.
//!
//! - One counter, the revision, rises when a roster changes. It numbers entries and versions, so neither ever repeats,
//!   even if the server has forgotten a blank roster in between.
//! - A session ends when its deadline has passed. Each access to the state first ends the expired sessions, and a waiting
//!   caller accesses the state again at the earliest check. So an expiry needs no task of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout};

use super::roster::{RosterState, SessionId};
use super::topics::Log;
use crate::driver::support::{Tombstones, exhausted, lock, no_answer, session_lost};
use crate::driver::{NewName, Nonce, Roster, SessionOptions, Version};
use crate::{Name, Result};

static SERVERS: LazyLock<Mutex<HashMap<String, Server>>> = LazyLock::new(Mutex::default);

/// How many withdrawn nonces a session remembers: more than it has requests under way.
const TOMBSTONES: usize = 128;

/// How many names that have come into use are kept for sessions that watch them.
const KEPT_NAMES: usize = 256;

/// A longer TTL, which only a direct user of the driver can ask for, could exceed the clock.
const LONGEST_TTL: Duration = Duration::from_secs(u32::MAX as u64);

/// The server behind `memory://name`, for tests that need it to fail.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// use tooz_core::{Coordinator, memory::Server};
///
/// let coordinator = Coordinator::builder("memory://expiry-doc").member("a").connect().await?;
/// let guard = coordinator.lock("nightly").acquire().await?;
/// Server::named("expiry-doc").expire("a");
/// assert!(guard.lost().await.is_session_lost());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Server(Arc<Mutex<ServerState>>);

/// Everything that the server stores.
#[derive(Debug, Default)]
pub(super) struct ServerState {
    sessions: HashMap<SessionId, ServerSession>,
    /// When each session is checked next.
    checks: BTreeSet<(Instant, SessionId)>,
    namespaces: HashMap<String, Namespace>,
    last_session: SessionId,
    revision: u64,
    /// How often the data was replaced.
    history: u64,
    is_paused: bool,
    partitioned: BTreeSet<Name>,
    healed: Arc<Notify>,
}

/// The rosters and topics of one namespace.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    pub(super) rosters: BTreeMap<Roster, RosterState>,
    pub(super) logs: BTreeMap<Name, Log>,
    pub(super) new_names: NewNames,
}

/// Which names have come into use.
#[derive(Debug, Default)]
pub(super) struct NewNames {
    count: u64,
    /// The latest of them, at most [`KEPT_NAMES`].
    latest: VecDeque<NewName>,
    added: Arc<Notify>,
}

/// What a backup of the server contains: the groups that were created, and the messages.
#[derive(Debug, Default)]
pub struct Backup {
    namespaces: HashMap<String, Namespace>,
    revision: u64,
}

/// A session, as the server knows it.
#[derive(Debug)]
pub(super) struct ServerSession {
    options: SessionOptions,
    deadline: Instant,
    /// At most the deadline. A renewal postpones the deadline only; the check then finds it and is postponed, too.
    next_check: Instant,
    pub(super) tombstones: Tombstones,
    /// Entries that other sessions have removed, until the session reads them.
    pub(super) evictions: VecDeque<Nonce>,
    /// Notified at each eviction and at the end of the session.
    pub(super) loss: Arc<Notify>,
}

impl NewNames {
    /// Adds a name that comes into use, and wakes the watchers.
    pub(super) fn add(&mut self, name: NewName) {
        self.count += 1;
        self.latest.push_back(name);
        self.latest.drain(..self.latest.len().saturating_sub(KEPT_NAMES));
        self.added.notify_waiters();
    }

    /// The names after the first `seen` ones, or [`NewName::Any`]; and a future that resolves at the next name.
    pub(super) fn watch(&self, seen: &mut Option<u64>) -> (Vec<NewName>, OwnedNotified) {
        let kept = self.count - self.latest.len() as u64;
        let names = match seen.replace(self.count).and_then(|seen| seen.checked_sub(kept)) {
            Some(known) => self.latest.iter().skip(known as usize).cloned().collect(),
            None => vec![NewName::Any],
        };
        (names, self.added.clone().notified_owned())
    }
}

impl Namespace {
    /// A copy without entries, whose sessions a backup does not contain.
    fn backed_up(&self) -> Self {
        let declared = self.rosters.iter().filter(|(_, state)| state.declared);
        let rosters = declared.map(|(roster, state)| (roster.clone(), state.backed_up())).collect();
        let logs = self.logs.iter().map(|(name, log)| (name.clone(), log.backed_up())).collect();
        Self { rosters, logs, new_names: NewNames::default() }
    }
}

impl Server {
    /// The server that `memory://name` leads to; it lives as long as the process.
    pub fn named(name: &str) -> Self {
        lock(&SERVERS).entry(name.to_owned()).or_default().clone()
    }

    /// Ends every session of `member`, as if its TTL had run out.
    pub fn expire(&self, member: impl AsRef<[u8]>) {
        self.state().end_all(|session| session.options.member.as_bytes() == member.as_ref());
    }

    /// Stops answering requests, until [`resume`](Self::resume). Sessions continue to expire.
    pub fn pause(&self) {
        self.state().is_paused = true;
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        let mut state = self.state();
        state.is_paused = false;
        state.healed.notify_waiters();
    }

    /// Cuts `member` off, until [`heal`](Self::heal): the server neither answers its requests nor reports losses to it.
    ///
    /// # Errors
    /// `InvalidName` if `member` cannot be a name.
    pub fn partition(&self, member: impl AsRef<[u8]>) -> Result<()> {
        self.state().partitioned.insert(Name::new(member)?);
        Ok(())
    }

    /// Ends every [`partition`](Self::partition).
    pub fn heal(&self) {
        let mut state = self.state();
        state.partitioned.clear();
        state.healed.notify_waiters();
    }

    /// Copies what a backup of a real server contains, for [`restore`](Self::restore).
    pub fn back_up(&self) -> Backup {
        let state = self.state();
        let namespaces = state.namespaces.iter().map(|(name, space)| (name.clone(), space.backed_up())).collect();
        Backup { namespaces, revision: state.revision }
    }

    /// Replaces the server by one that was restored from a backup: all sessions end, and what was written since is gone.
    /// Numbers continue after the greatest of the backup, so that they repeat.
    pub fn restore(&self, backup: &Backup) {
        let namespaces = backup.namespaces.iter().map(|(name, space)| (name.clone(), space.backed_up())).collect();
        self.state().replace_data(namespaces, backup.revision);
    }

    /// Replaces the server by an empty one: all sessions end, and numbers start again.
    pub fn empty(&self) {
        self.state().replace_data(HashMap::new(), 0);
    }

    /// The number of entries in all rosters, of locks as of groups: 0 if every client has cleaned up.
    pub fn entry_count(&self) -> usize {
        let state = self.state();
        state.namespaces.values().flat_map(|space| space.rosters.values()).map(|roster| roster.entries.len()).sum()
    }

    /// The state, once `member` can reach the server. Fails after `limit`.
    ///
    /// It consumes a unit of Tokio's cooperative budget. No request waits for I/O, so without this a caller in a loop would
    /// leave no time to other tasks.
    pub(super) async fn request(&self, member: &Name, limit: Duration) -> Result<MutexGuard<'_, ServerState>> {
        consume_budget().await;
        timeout(limit, self.reach(member)).await.map_err(|_| no_answer("the server", limit))
    }

    /// The state, once `member` can reach the server.
    pub(super) async fn reach(&self, member: &Name) -> MutexGuard<'_, ServerState> {
        loop {
            let healed = {
                let state = self.state();
                if !state.is_paused && !state.partitioned.contains(member) {
                    return state;
                }
                state.healed.clone().notified_owned()
            };
            healed.await;
        }
    }

    /// Waits for `change`, or until a session may have expired.
    pub(super) async fn wait(&self, change: impl Future<Output = ()>) {
        let earliest = self.state().checks.first().map(|(at, _)| *at);
        let expiry = async {
            match earliest {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! { biased; () = change => (), () = expiry => () }
    }

    /// The state without expired sessions.
    fn state(&self) -> MutexGuard<'_, ServerState> {
        let mut state = lock(&self.0);
        let now = Instant::now();
        while let Some((_, id)) = state.checks.first().copied().filter(|(at, _)| *at <= now) {
            state.check(id, now);
        }
        state
    }
}

impl ServerState {
    pub(super) fn open(&mut self, options: SessionOptions) -> SessionId {
        self.last_session += 1;
        let (id, deadline) = (self.last_session, Instant::now() + options.ttl.min(LONGEST_TTL));
        let (tombstones, evictions, loss) = (Tombstones::new(TOMBSTONES), VecDeque::new(), Arc::default());
        let session = ServerSession { options, deadline, next_check: deadline, tombstones, evictions, loss };
        self.sessions.insert(id, session);
        self.checks.insert((deadline, id));
        id
    }

    pub(super) fn renew(&mut self, id: SessionId) -> Result<()> {
        let session = self.sessions.get_mut(&id).ok_or_else(session_lost)?;
        session.deadline = Instant::now() + session.options.ttl.min(LONGEST_TTL);
        Ok(())
    }

    /// Ends a session whose deadline has passed, or postpones its check to the deadline.
    fn check(&mut self, id: SessionId, now: Instant) {
        match self.sessions.get_mut(&id) {
            Some(session) if session.deadline > now => {
                self.checks.remove(&(session.next_check, id));
                session.next_check = session.deadline;
                self.checks.insert((session.next_check, id));
            }
            _ => self.end(id),
        }
    }

    /// Ends a session and removes its entries.
    pub(super) fn end(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.checks.remove(&(session.next_check, id));
        self.revision = self.revision.saturating_add(1);
        let rosters = &mut self.namespaces.entry(session.options.namespace).or_default().rosters;
        for roster in rosters.values_mut() {
            roster.remove_session(id, self.revision);
        }
        rosters.retain(|_, roster| !roster.is_forgettable());
        session.loss.notify_waiters();
    }

    /// Ends these sessions in the order in which they were opened, so that a simulation can be repeated.
    fn end_all(&mut self, is_chosen: impl Fn(&ServerSession) -> bool) {
        let chosen = self.sessions.iter().filter(|(_, session)| is_chosen(session));
        let mut ids: Vec<_> = chosen.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.into_iter().for_each(|id| self.end(id));
    }

    /// Ends all sessions and begins another history.
    fn replace_data(&mut self, namespaces: HashMap<String, Namespace>, revision: u64) {
        self.end_all(|_| true);
        (self.namespaces, self.revision) = (namespaces, revision);
        self.history += 1;
    }

    /// How often the data was replaced.
    pub(super) fn history(&self) -> u64 {
        self.history
    }

    pub(super) fn session(&mut self, id: SessionId) -> Result<&mut ServerSession> {
        self.sessions.get_mut(&id).ok_or_else(session_lost)
    }

    /// The namespace of a session.
    pub(super) fn namespace(&mut self, id: SessionId) -> Result<&mut Namespace> {
        let session = self.sessions.get(&id).ok_or_else(session_lost)?;
        Ok(self.namespaces.entry(session.options.namespace.clone()).or_default())
    }

    /// Changes a roster at the next revision, reports the evictions, and forgets the roster if nothing is left of it.
    pub(super) fn change<T>(
        &mut self,
        id: SessionId,
        name: &Roster,
        change: impl FnOnce(&mut RosterState, u64) -> T,
    ) -> Result<T> {
        let revision = self.revision.checked_add(1).ok_or_else(|| exhausted("revision"))?;
        let Namespace { rosters, new_names, .. } = self.namespace(id)?;
        let roster = rosters.entry(name.clone()).or_default();
        let before = roster.uses();
        let outcome = change(roster, revision);
        if roster.uses().iter().zip(before).any(|(is_used, was_used)| *is_used && !was_used) {
            new_names.add(NewName::new(name.kind.as_str(), name.name.clone()));
        }
        let evicted = std::mem::take(&mut roster.evicted);
        let is_used = roster.version == Version(revision);
        if roster.is_forgettable() {
            rosters.remove(name);
        }
        self.revision += u64::from(is_used);
        for (owner, nonce) in evicted {
            if let Some(owner) = self.sessions.get_mut(&owner) {
                owner.evictions.push_back(nonce);
                owner.loss.notify_waiters();
            }
        }
        Ok(outcome)
    }
}
