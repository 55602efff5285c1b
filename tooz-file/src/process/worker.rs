//! The worker thread of a directory: it executes queued jobs, receives notifications and notices the death of others.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::queue::Queue;
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

/// How long the thread waits for a busy database when no caller waits for the result.
const PATIENCE: Duration = Duration::from_millis(500);

/// The socket of this process, and the processes that it watches.
#[derive(Debug)]
pub(crate) struct Worker {
    woken: UnixStream,
    socket: UnixDatagram,
    watched: Vec<Watched>,
    next_tick: Instant,
    /// When to look at the peers again, and how long to wait after that.
    peers_again: Option<(Instant, Duration)>,
}

/// A peer that this process watches.
#[derive(Debug)]
struct Watched {
    peer: i64,
    process: OwnedFd,
}

/// What woke the thread.
#[derive(Clone, Copy, Debug)]
struct Events {
    woken: bool,
    notified: bool,
    watched_ended: bool,
}

impl Worker {
    pub(crate) fn new(state: &mut State, woken: UnixStream) -> Outcome<Self> {
        woken.set_nonblocking(true)?;
        let socket = state.directory.bind_socket(&layout::socket(state.presence.me()))?;
        let next_tick = Instant::now() + TICK;
        let mut worker = Self { woken, socket, watched: Vec::new(), next_tick, peers_again: None };
        if worker.watch_peers(state).is_err() {
            worker.peers_again = Some((Instant::now(), SOON));
        }
        Ok(worker)
    }

    /// The life of the thread. At its end all sessions are over, after a panic too.
    pub(crate) fn run(mut self, queue: &Queue) {
        let panicked = catch_unwind(AssertUnwindSafe(|| self.work(queue))).is_err();
        if let Some(state) = queue.state().as_mut() {
            if panicked {
                tracing::error!("the worker thread has panicked; its sessions are over");
            }
            state.lose();
        }
    }

    /// Locks the state only when there is something to do, so that a fork seldom finds it locked.
    fn work(&mut self, queue: &Queue) {
        let mut has_chores = false;
        loop {
            let events = self.sleep(has_chores);
            let called_for_chores = events.woken && !queue.has_jobs();
            if events.notified || events.watched_ended || called_for_chores || has_chores || self.is_due() {
                let mut state = queue.state();
                let Some(state) = state.as_mut() else { return };
                self.receive(state, events);
                self.do_what_is_due(state);
                if state.lost {
                    return;
                }
                has_chores = state.has_chores();
            }
            while queue.has_jobs() {
                has_chores |= run_next_job(queue);
            }
            if queue.is_stopping() {
                return queue.state().as_mut().map_or((), sign_off);
            }
        }
    }

    /// Waits until something happens or is due.
    fn sleep(&mut self, has_chores: bool) -> Events {
        let due = self.peers_again.map_or(self.next_tick, |(at, _)| at.min(self.next_tick));
        let wait = due.saturating_duration_since(Instant::now());
        let wait = if has_chores { wait.min(SOON) } else { wait };
        let timeout = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ };
        let mut polled: Vec<_> = [PollFd::new(&self.woken, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)]
            .into_iter()
            .chain(self.watched.iter().map(|watched| PollFd::new(&watched.process, PollFlags::IN)))
            .collect();
        // An interrupted or failed poll is like one that found nothing.
        let _ = poll(&mut polled, Some(&timeout));
        let happened: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        let (own, watched) = happened.split_at(2);
        while own[0] && matches!((&self.woken).read(&mut [0; 64]), Ok(64)) {}
        let mut ended = watched.iter();
        self.watched.retain(|_| ended.next() == Some(&false));
        Events { woken: own[0], notified: own[1], watched_ended: watched.contains(&true) }
    }

    /// Takes in what has come.
    fn receive(&mut self, state: &mut State, events: Events) {
        let mut peers_changed = events.watched_ended;
        let mut bytes = [0; Notification::LEN + 1];
        while events.notified
            && let Ok(len) = self.socket.recv(&mut bytes)
        {
            match Notification::decode(&bytes[..len]) {
                Some(Notification::Peers) => peers_changed = true,
                Some(notification) => state.receive(notification),
                None => {}
            }
        }
        if peers_changed {
            self.peers_again = Some((Instant::now(), SOON));
        }
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        self.next_tick <= now || self.peers_again.is_some_and(|(at, _)| at <= now)
    }

    fn do_what_is_due(&mut self, state: &mut State) {
        let now = Instant::now();
        let ticks = self.next_tick <= now;
        if ticks {
            self.next_tick = now + TICK;
        }
        let outcome = busy::until(Some(now + PATIENCE), || {
            if ticks {
                self.renew_socket(state);
                state.tick()?;
            }
            state.do_chores()?;
            let (at, pause) = self.peers_again.unwrap_or((now, SOON));
            if (ticks || self.peers_again.is_some()) && at <= now && !state.lost {
                self.peers_again = Some((now + pause, (pause * 2).min(TICK)));
                self.watch_peers(state)?;
                self.peers_again = None;
            }
            Outcome::Ok(())
        });
        if let Err(fault) = outcome {
            tracing::debug!(?fault, "the database was not available; trying again");
        }
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
        for peer in &wanted {
            if !self.watched.iter().any(|watched| watched.peer == *peer) {
                // Without a descriptor, the next tick looks again.
                self.watched.extend(state.presence.process_of(*peer).map(|process| Watched { peer: *peer, process }));
            }
        }
        Ok(())
    }
}

/// Runs the next job, and sends its reply once the state is unlocked. Returns whether it has left chores.
fn run_next_job(queue: &Queue) -> bool {
    let mut locked = queue.state();
    let (Some(state), Some(job)) = (locked.as_mut(), queue.pop()) else { return false };
    // A job for which a caller waits has a deadline of its own.
    let reply = busy::until(Some(Instant::now() + PATIENCE), || job(state));
    let has_chores = state.has_chores();
    drop(locked);
    reply();
    has_chores
}

/// Removes this process from the directory.
fn sign_off(state: &mut State) {
    let left = busy::until(Some(Instant::now() + PATIENCE), || state.sign_off());
    if let Err(fault) = left {
        tracing::debug!(?fault, "failed to sign off; another process cleans up");
    }
}
