//! The thread of an engine: hears pokes, notices the death of other processes, and does the jobs that are queued.
//!
//! Processes stand in a ring, in the order of their ids. Each keeps a connection to the pulse socket of the next two; the
//! kernel ends it when the other dies, and whoever notices removes what the dead has left.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::core::Core;
use crate::database::until;
use crate::directory::Directory;
use crate::engine::{Shared, Task};
use crate::error::Outcome;
use crate::layout;
use crate::poke::Poke;
use crate::ring::{Side, neighbours};

/// How many of the next processes in the ring one watches: with two, a frozen process hides no death.
pub(crate) const WARDS: usize = 2;

/// How often everything is looked at without a poke.
const TICK: Duration = Duration::from_secs(1);

/// How soon something is tried again, at first.
const SOON: Duration = Duration::from_millis(1);

/// How long the thread waits for a busy database when it works on its own account.
const PATIENCE: Duration = Duration::from_millis(500);

/// The sockets of this process, and its connections to the pulse of others.
#[derive(Debug)]
pub(crate) struct Station {
    kicked: UnixStream,
    bell: UnixDatagram,
    pulse: UnixListener,
    guests: Vec<UnixStream>,
    wards: Vec<(i64, OwnedFd)>,
    next_tick: Instant,
    /// When to look at the ring again, and how long to wait after that.
    ring_again: Option<(Instant, Duration)>,
}

impl Station {
    /// Opens the sockets of `me`, where all who may use the database may reach them.
    pub(crate) fn open(directory: &Directory, me: i64, kicked: UnixStream) -> io::Result<Self> {
        let mode = fs::metadata(directory.database())?.permissions();
        let (bell_path, pulse_path) = (directory.socket(&layout::bell(me)), directory.socket(&layout::pulse(me)));
        let open = |path: &Path| fs::set_permissions(path, mode.clone());
        let bell = UnixDatagram::bind(&bell_path)?;
        let pulse = UnixListener::bind(&pulse_path)?;
        open(&bell_path)?;
        open(&pulse_path)?;
        bell.set_nonblocking(true)?;
        pulse.set_nonblocking(true)?;
        kicked.set_nonblocking(true)?;
        let now = Instant::now();
        let (guests, wards) = (Vec::new(), Vec::new());
        Ok(Self { kicked, bell, pulse, guests, wards, next_tick: now + TICK, ring_again: Some((now, SOON)) })
    }

    /// The life of the thread.
    pub(crate) fn run(mut self, shared: &Arc<Shared>, tasks: &Receiver<Task>) {
        let _end = End(shared);
        loop {
            // Bound first, so that the lock is not held in the sleep.
            let has_chores = shared.lock().has_chores();
            let news = self.sleep(has_chores);
            let mut core = shared.lock();
            self.hear(&mut core, news);
            if work_off(&mut core, shared, tasks) {
                leave(&mut core);
                return;
            }
            self.look_around(&mut core);
            if core.lost {
                shared.lost.store(true, Ordering::SeqCst);
                // What is still queued fails, and so does all that comes later.
                drop(core);
                while let Ok(Task::Run(job)) = tasks.recv() {
                    job(&mut shared.lock());
                }
                return;
            }
        }
    }

    /// Waits until something happens or is due.
    fn sleep(&mut self, has_chores: bool) -> News {
        let due = self.ring_again.map_or(self.next_tick, |(at, _)| at.min(self.next_tick));
        let wait = due.saturating_duration_since(Instant::now());
        let wait = if has_chores { wait.min(SOON) } else { wait };
        let timeout = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ };
        let mut polled: Vec<_> = [PollFd::new(&self.kicked, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)]
            .into_iter()
            .chain([PollFd::new(&self.pulse, PollFlags::IN)])
            .chain(self.wards.iter().map(|(_, ward)| PollFd::new(ward, PollFlags::IN)))
            .chain(self.guests.iter().map(|guest| PollFd::new(guest, PollFlags::IN)))
            .collect();
        // An interrupted or failed poll is like one that found nothing.
        let _ = poll(&mut polled, Some(&timeout));
        let happened: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        let (wards, guests) = happened[3..].split_at(self.wards.len());
        let ward_ended = wards.contains(&true);
        // Nothing is ever sent over these connections, so an event is their end.
        let (mut wards, mut guests) = (wards.iter(), guests.iter());
        self.wards.retain(|_| wards.next() == Some(&false));
        self.guests.retain(|_| guests.next() == Some(&false));
        News { kicked: happened[0], poked: happened[1], guest: happened[2], ward_ended }
    }

    /// Takes in what has come, the pokes first: somebody may be waiting for a turn.
    fn hear(&mut self, core: &mut Core, news: News) {
        let mut ring_changed = news.ward_ended;
        let mut bytes = [0; Poke::LEN + 1];
        while news.poked
            && let Ok(len) = self.bell.recv(&mut bytes)
        {
            match Poke::decode(&bytes[..len]) {
                Some(Poke::Ring) => ring_changed = true,
                Some(poke) => core.receive(poke),
                None => {}
            }
        }
        while news.kicked && matches!(self.kicked.read(&mut [0; 64]), Ok(64)) {}
        if news.guest {
            self.let_in();
        }
        if ring_changed {
            self.ring_again = Some((Instant::now(), SOON));
        }
    }

    fn let_in(&mut self) {
        loop {
            match self.pulse.accept() {
                Ok((guest, _)) => self.guests.push(guest),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // There are too many open files. The guest waits at the door, and poll would not.
                Err(_) => return thread::sleep(SOON),
            }
        }
    }

    /// Does what is due.
    fn look_around(&mut self, core: &mut Core) {
        let now = Instant::now();
        let ticks = self.next_tick <= now;
        if ticks {
            self.next_tick = now + TICK;
        }
        let outcome = until(Some(now + PATIENCE), || {
            if ticks {
                core.tick()?;
            }
            core.do_chores()?;
            let (at, pause) = self.ring_again.unwrap_or((now, SOON));
            if (ticks || self.ring_again.is_some()) && at <= now && !core.lost {
                self.ring_again = Some((now + pause, (pause * 2).min(TICK)));
                if self.watch_ring(core)? {
                    self.ring_again = None;
                }
            }
            Outcome::Ok(())
        });
        if let Err(fault) = outcome {
            tracing::debug!(?fault, "the database was not available; trying again");
        }
    }

    /// Connects to the next living processes of the ring and buries the dead. Returns whether there is nothing to retry.
    fn watch_ring(&mut self, core: &mut Core) -> Outcome<bool> {
        let wanted = loop {
            let wanted = neighbours(&core.db, core.me, WARDS, Side::After)?;
            if !core.bury_dead(&wanted)? {
                break wanted;
            }
        };
        self.wards.retain(|(peer, _)| wanted.contains(peer));
        let mut complete = true;
        for peer in wanted {
            if !self.wards.iter().any(|(ward, _)| *ward == peer) {
                match connect_to(&core.directory.socket(&layout::pulse(peer))) {
                    Ok(ward) => self.wards.push((peer, ward)),
                    // It may be about to die, its other socket being open for a moment yet.
                    Err(_) => complete = false,
                }
            }
        }
        Ok(complete)
    }
}

/// What woke the thread.
#[derive(Clone, Copy, Debug)]
struct News {
    kicked: bool,
    poked: bool,
    guest: bool,
    /// A ward may have died.
    ward_ended: bool,
}

/// Does what is queued. Returns whether to stop.
fn work_off(core: &mut Core, shared: &Shared, tasks: &Receiver<Task>) -> bool {
    loop {
        match tasks.try_recv() {
            // A job that somebody waits for has a deadline of its own.
            Ok(Task::Run(job)) => until(Some(Instant::now() + PATIENCE), || job(core)),
            Ok(Task::Stop) | Err(TryRecvError::Disconnected) => return true,
            Err(TryRecvError::Empty) if shared.queued.load(Ordering::SeqCst) == 0 => return false,
            // It was counted and is about to be sent, perhaps without a kick.
            Err(TryRecvError::Empty) => {
                thread::yield_now();
                continue;
            }
        }
        shared.queued.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes this process out of the ring.
fn leave(core: &mut Core) {
    let me = core.me;
    let left = until(Some(Instant::now() + PATIENCE), || {
        core.tidy()?;
        core.write(|work| work.bury(me))
    });
    if let Err(fault) = left {
        tracing::debug!(?fault, "failed to sign off; the next process cleans up");
    }
}

/// Connects without waiting: a frozen process does not accept.
fn connect_to(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let ward = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&ward, &SocketAddrUnix::new(path)?)?;
    Ok(ward)
}

/// Ends the sessions when the thread ends, by a panic too: nobody would hear of their losses.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lost.store(true, Ordering::SeqCst);
        self.0.lock().lose();
    }
}
