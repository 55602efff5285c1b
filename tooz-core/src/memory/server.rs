//! A server in memory: sessions, lines and logs behind one mutex, and the faults that a test can give it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use super::line::{Line, Removed};
use super::topics::Log;
use crate::driver::{Loss, Nonce, Roster};
use crate::{Error, ErrorKind, Name, Result};

static SERVERS: LazyLock<Mutex<HashMap<String, Server>>> = LazyLock::new(Mutex::default);

const SPARE_LINES: usize = 64;

pub(super) type SessionId = u64;

/// How many withdrawn nonces a session remembers: more than it has requests under way.
const WITHDRAWN_KEPT: usize = 128;

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
pub struct Server(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Set while any fault is in force, so that the way without faults costs one load.
    faulty: AtomicBool,
    faults: Mutex<Faults>,
    healed: Notify,
}

#[derive(Debug, Default)]
struct Faults {
    paused: bool,
    partitioned: BTreeSet<Name>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    sessions: HashMap<SessionId, SessionState>,
    /// No session expires before this moment.
    next_expiry: Option<Instant>,
    spaces: HashMap<String, Space>,
    last_session: SessionId,
    pub(super) last_seq: u64,
    lines_made: u64,
}

/// One namespace.
#[derive(Debug, Default)]
pub(super) struct Space {
    pub(super) lines: HashMap<Roster, Line>,
    pub(super) logs: HashMap<Name, Log>,
}

#[derive(Debug)]
struct SessionState {
    member: Name,
    ttl: Duration,
    expires_at: Instant,
    namespace: String,
    /// The newest nonces that were withdrawn.
    withdrawn: VecDeque<Nonce>,
    /// Closed with the session.
    losses: mpsc::UnboundedSender<Loss>,
}

impl Server {
    /// The server that `memory://name` leads to; it lives as long as the process.
    pub fn named(name: &str) -> Self {
        lock(&SERVERS).entry(name.to_owned()).or_default().clone()
    }

    /// Ends every session of `member`, as if its TTL had run out.
    pub fn expire(&self, member: impl AsRef<[u8]>) {
        self.state().end_sessions(|session| session.member.as_bytes() == member.as_ref());
    }

    /// Stops answering anybody, until [`resume`](Self::resume). Sessions go on to expire.
    pub fn pause(&self) {
        self.change_faults(|faults| faults.paused = true);
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        self.change_faults(|faults| faults.paused = false);
    }

    /// Cuts `member` off: its requests are not answered, and nothing is pushed to it, until [`heal`](Self::heal).
    ///
    /// # Errors
    /// `InvalidName` if `member` cannot be a name.
    pub fn partition(&self, member: impl AsRef<[u8]>) -> Result<()> {
        let member = Name::new(member)?;
        self.change_faults(|faults| {
            faults.partitioned.insert(member);
        });
        Ok(())
    }

    /// Ends every [`partition`](Self::partition).
    pub fn heal(&self) {
        self.change_faults(|faults| faults.partitioned.clear());
    }

    /// How many entries stand in all rosters, of locks as of groups: 0 when everything was left behind clean.
    pub fn entry_count(&self) -> usize {
        let state = self.state();
        state.spaces.values().flat_map(|space| space.lines.values()).map(Line::len).sum()
    }

    fn change_faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = lock(&self.0.faults);
        change(&mut faults);
        self.0.faulty.store(faults.paused || !faults.partitioned.is_empty(), Ordering::SeqCst);
        self.0.healed.notify_waiters();
    }

    fn is_cut_off(&self, member: &Name) -> bool {
        let faults = lock(&self.0.faults);
        faults.paused || faults.partitioned.contains(member)
    }

    /// Passes once `member` can reach the server.
    pub(super) async fn reach(&self, member: &Name) {
        while self.0.faulty.load(Ordering::SeqCst) {
            let healed = self.0.healed.notified();
            if !self.is_cut_off(member) {
                return;
            }
            healed.await;
        }
    }

    /// As [`reach`](Self::reach), but fails after `limit`, as a request that nobody answers.
    pub(super) async fn request(&self, member: &Name, limit: Duration) -> Result<MutexGuard<'_, State>> {
        if self.0.faulty.load(Ordering::SeqCst) {
            timeout(limit, self.reach(member)).await.map_err(|_| {
                Error::new(ErrorKind::Unavailable, format!("the server did not answer within {limit:?}"))
            })?;
        }
        Ok(self.state())
    }

    /// The state, with expired sessions gone.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.0.state);
        if state.next_expiry.is_some_and(|at| at <= Instant::now()) {
            let now = Instant::now();
            state.end_sessions(|session| session.expires_at <= now);
        }
        state
    }

    /// Waits for `change`, or until a session may have expired.
    pub(super) async fn wait(&self, change: impl Future<Output = ()>) {
        let next_expiry = lock(&self.0.state).next_expiry;
        let expiry = async {
            match next_expiry {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { biased; () = change => (), () = expiry => () }
    }
}

impl State {
    pub(super) fn open(
        &mut self,
        member: Name,
        ttl: Duration,
        namespace: String,
    ) -> (SessionId, mpsc::UnboundedReceiver<Loss>) {
        let (losses, receiver) = mpsc::unbounded_channel();
        self.last_session += 1;
        let expires_at = Instant::now() + ttl;
        let withdrawn = VecDeque::new();
        self.sessions.insert(self.last_session, SessionState { member, ttl, expires_at, namespace, withdrawn, losses });
        self.update_next_expiry();
        (self.last_session, receiver)
    }

    pub(super) fn renew(&mut self, id: SessionId) -> Result<()> {
        let session = self.sessions.get_mut(&id).ok_or_else(session_lost)?;
        session.expires_at = Instant::now() + session.ttl;
        self.update_next_expiry();
        Ok(())
    }

    pub(super) fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.remove_entries(id, &session.namespace);
            self.update_next_expiry();
        }
    }

    pub(super) fn check(&self, id: SessionId) -> Result<()> {
        if self.sessions.contains_key(&id) { Ok(()) } else { Err(session_lost()) }
    }

    pub(super) fn remember_withdrawn(&mut self, id: SessionId, nonce: Nonce) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.withdrawn.truncate(WITHDRAWN_KEPT - 1);
            session.withdrawn.push_front(nonce);
        }
    }

    pub(super) fn is_withdrawn(&self, id: SessionId, nonce: Nonce) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.withdrawn.contains(&nonce))
    }

    pub(super) fn space(&mut self, namespace: &str) -> &mut Space {
        if !self.spaces.contains_key(namespace) {
            self.spaces.insert(namespace.to_owned(), Space::default());
        }
        self.spaces.get_mut(namespace).expect("it was just made")
    }

    /// The line of `roster`, and the counter that its next entry takes its seq from.
    pub(super) fn line(&mut self, namespace: &str, roster: &Roster) -> (&mut Line, &mut u64) {
        if !self.space(namespace).lines.contains_key(roster) {
            self.lines_made += 1;
            // The upper half tells this line from an earlier one of the same name, the lower half counts its changes.
            let line = Line::new(self.lines_made << 32);
            self.space(namespace).lines.insert(roster.clone(), line);
        }
        let space = self.spaces.get_mut(namespace).expect("it was just made");
        (space.lines.get_mut(roster).expect("it was just made"), &mut self.last_seq)
    }

    /// Forgets the line if nobody would notice, so that used-up names cost nothing, beyond the few that are kept because
    /// a lock that was just released is often acquired again.
    pub(super) fn tidy(&mut self, namespace: &str, roster: &Roster) {
        let lines = &mut self.space(namespace).lines;
        if lines.len() > SPARE_LINES && lines.get(roster).is_some_and(Line::is_idle) {
            lines.remove(roster);
        }
    }

    /// Tells the session of an entry that somebody else has removed.
    pub(super) fn report(&self, removed: &Removed) {
        if let Some(session) = self.sessions.get(&removed.session) {
            // A receiver that is gone means a session that nobody uses any more.
            let _ = session.losses.send(Loss::Entry(removed.nonce));
        }
    }

    fn end_sessions(&mut self, over: impl Fn(&SessionState) -> bool) {
        let mut ended: Vec<_> = self.sessions.iter().filter(|(_, session)| over(session)).map(|(id, _)| *id).collect();
        // Always in one order, so that a test with a seed goes the same way each time.
        ended.sort_unstable();
        for id in ended {
            self.close(id);
        }
        self.update_next_expiry();
    }

    fn remove_entries(&mut self, id: SessionId, namespace: &str) {
        let lines = &mut self.space(namespace).lines;
        lines.values_mut().for_each(|line| line.remove_session(id));
        lines.retain(|_, line| !line.is_idle());
    }

    fn update_next_expiry(&mut self) {
        self.next_expiry = self.sessions.values().map(|session| session.expires_at).min();
    }
}

pub(super) fn session_lost() -> Error {
    Error::new(ErrorKind::SessionLost, "the server does not know the session any more")
}

/// A poisoned mutex means that another thread panicked between two complete changes; the state is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
