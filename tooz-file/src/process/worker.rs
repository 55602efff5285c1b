//! The worker thread of a directory: it executes queued requests, receives notifications and notices the death of others.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cleanup::PATIENCE;
use super::executor::Executor;
use super::state::State;
use crate::db::busy;
use crate::error::Outcome;
use crate::layout;
use crate::peers::notify::Notification;
use crate::peers::registry;

/// How often everything is read without a notification.
const TICK: Duration = Duration::from_secs(1);

/// The first pause before something is tried again.
const SOON: Duration = Duration::from_millis(1);

/// The socket of this process, and the processes that it watches.
#[derive(Debug)]
pub(super) struct Worker {
    woken: UnixStream,
    socket: UnixDatagram,
    watched: Vec<Watched>,
    /// Other processes have joined or ended.
    peers_changed: bool,
    next_tick: Instant,
    /// How long to wait before work that is left over is tried again.
    pause: Duration,
}

/// A peer that this process watches.
#[derive(Debug)]
struct Watched {
    peer: i64,
    process: OwnedFd,
}

impl Worker {
    pub(super) fn new(state: &State, woken: UnixStream) -> Outcome<Self> {
        woken.set_nonblocking(true)?;
        let socket = state.directory.bind_socket(&layout::socket(state.presence.me()))?;
        let (watched, next_tick) = (Vec::new(), Instant::now() + TICK);
        Ok(Self { woken, socket, watched, peers_changed: true, next_tick, pause: SOON })
    }

    /// Works until the state has no sessions, or is closed.
    pub(super) fn run(&mut self, executor: &Executor) {
        loop {
            let mut locked = executor.state();
            let Some(state) = locked.as_mut() else { return };
            let patience = if executor.has_jobs() { SOON } else { PATIENCE };
            let done = busy::until(Some(Instant::now() + patience), || self.handle(state));
            self.pause = if done.is_ok() { SOON } else { (self.pause * 2).min(TICK) };
            if let Err(fault) = done {
                tracing::debug!(?fault, "the database was not available; trying again");
            }
            // A job for which a caller waits has a deadline of its own.
            let job = executor.pop();
            let reply = job.map(|job| busy::until(Some(Instant::now() + PATIENCE), || job(state)));
            let (unused, has_work) = (!state.has_sessions(), state.has_work() || self.peers_changed);
            // The state is unlocked before the reply and before the thread sleeps, so that a fork rarely finds it locked.
            drop(locked);
            if let Some(reply) = reply {
                reply();
            }
            if unused {
                return;
            }
            if !executor.has_jobs() {
                self.sleep(if has_work { self.pause } else { TICK });
            }
        }
    }

    /// Receives notifications, and does the work that is due.
    fn handle(&mut self, state: &mut State) -> Outcome<()> {
        let mut bytes = [0; Notification::LEN + 1];
        while let Ok(len) = self.socket.recv(&mut bytes) {
            match Notification::decode(&bytes[..len]) {
                Some(Notification::Peers) => self.peers_changed = true,
                Some(notification) => state.receive(notification),
                None => {}
            }
        }
        state.work()?;
        if self.next_tick <= Instant::now() {
            self.next_tick = Instant::now() + TICK;
            self.peers_changed = true;
            self.renew_socket(state);
            state.tick()?;
        }
        if self.peers_changed {
            self.watch_peers(state)?;
            self.peers_changed = false;
        }
        Ok(())
    }

    /// Waits until something happens, at most until the next tick.
    fn sleep(&mut self, longest: Duration) {
        let wait = longest.min(self.next_tick.saturating_duration_since(Instant::now()));
        let timeout = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ };
        let mut polled = vec![PollFd::new(&self.woken, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        polled.extend(self.watched.iter().map(|watched| PollFd::new(&watched.process, PollFlags::IN)));
        // An interrupted or failed poll is like one that found nothing.
        let _ = poll(&mut polled, Some(&timeout));
        let happened: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        let (_, ended) = happened.split_at(2);
        self.peers_changed |= ended.contains(&true);
        let mut ended = ended.iter();
        self.watched.retain(|_| ended.next() == Some(&false));
        while matches!((&self.woken).read(&mut [0; 64]), Ok(64)) {}
    }

    /// Binds the socket again if its file was removed from outside.
    fn renew_socket(&mut self, state: &State) {
        let name = layout::socket(state.presence.me());
        if !state.directory.has_socket(&name) {
            match state.directory.bind_socket(&name) {
                Ok(socket) => self.socket = socket,
                Err(error) => tracing::debug!(%error, "failed to bind the socket again; notifications are delayed"),
            }
        }
    }

    /// Watches the next living peers and removes the dead ones.
    fn watch_peers(&mut self, state: &mut State) -> Outcome<()> {
        let wanted = loop {
            let wanted = registry::watched_by(&state.db, state.presence.me())?;
            if !state.remove_dead(&wanted)? {
                break wanted;
            }
        };
        self.watched.retain(|watched| wanted.contains(&watched.peer));
        for peer in wanted {
            if !self.watched.iter().any(|watched| watched.peer == peer) {
                // Without a descriptor, the next tick looks again.
                self.watched.extend(state.presence.process_of(peer).map(|process| Watched { peer, process }));
            }
        }
        Ok(())
    }
}
