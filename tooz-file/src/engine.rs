//! The engine of a directory: one per process, shared by its sessions, with one connection and one thread.
//!
//! A verb runs at once in the caller's thread when nobody else is at work, which saves two switches of threads; else it
//! queues for the engine's thread, which also sleeps while other processes are writing. Jobs are done in their order.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tooz_core::Result;

use crate::core::Core;
use crate::database::until;
use crate::directory::Directory;
use crate::error::{Fault, Outcome, session_lost, too_slow};
use crate::ring;

/// Something to do with the core.
pub(crate) type Job = Box<dyn FnOnce(&mut Core) + Send>;

/// What the thread is told.
pub(crate) enum Task {
    Run(Job),
    Stop,
}

/// What becomes of a queued verb whose caller has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unheard {
    Run,
    Skip,
}

/// What the engine and its thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Tasks that were sent and are not done.
    pub(crate) queued: AtomicUsize,
    /// As in the core, for those who must not wait for it.
    pub(crate) lost: AtomicBool,
}

/// The engine; its thread ends when the last session drops it.
#[derive(Debug)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    tasks: mpsc::Sender<Task>,
    kick: UnixStream,
}

type Slot = Arc<Mutex<Weak<Engine>>>;

static ENGINES: LazyLock<Mutex<HashMap<PathBuf, Slot>>> = LazyLock::new(Mutex::default);

impl Engine {
    /// The engine of the directory at `path`, which is started if this process has none. Blocks.
    pub(crate) fn of(path: &Path, deadline: Instant) -> Result<Arc<Self>> {
        let named = |fault: Fault| fault.into_error(path);
        let directory = Directory::open(path).map_err(named)?;
        let slot = lock(&ENGINES).entry(directory.path().to_owned()).or_default().clone();
        // Two who come at once share one engine, while others are not held up by a slow directory.
        let mut slot = lock(&slot);
        if let Some(engine) = slot.upgrade().filter(|engine| !engine.is_lost()) {
            return Ok(engine);
        }
        let engine = Arc::new(until(Some(deadline), || Self::start(directory)).map_err(named)?);
        *slot = Arc::downgrade(&engine);
        Ok(engine)
    }

    fn start(directory: Directory) -> Outcome<Self> {
        let directory = Arc::new(directory);
        let (kick, kicked) = UnixStream::pair()?;
        kick.set_nonblocking(true)?;
        let (core, station) = ring::join(directory.clone(), kicked)?;
        let (tasks, queue) = mpsc::channel();
        let shared =
            Arc::new(Shared { core: Mutex::new(core), queued: AtomicUsize::new(0), lost: AtomicBool::new(false) });
        let theirs = shared.clone();
        thread::Builder::new().name("tooz-file".into()).spawn(move || station.run(&theirs, &queue))?;
        Ok(Self { shared, directory, tasks, kick })
    }

    /// Carries out a verb in the caller's thread if nobody else is at work, else as [`queue`](Self::queue) does.
    ///
    /// The verb may be started twice, but then the first attempt has changed nothing.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        timeout: Duration,
        unheard: Unheard,
        mut verb: impl FnMut(&mut Core) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        match self.try_now(&mut verb) {
            Some(result) => result,
            None => self.queue(timeout, unheard, verb).await,
        }
    }

    /// Carries out a verb in the engine's thread, after all that were queued before.
    pub(crate) async fn queue<T: Send + 'static>(
        &self,
        timeout: Duration,
        unheard: Unheard,
        mut verb: impl FnMut(&mut Core) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        // The engine gives up first, since it knows best why.
        let deadline = Instant::now() + timeout.mul_f32(0.9);
        let directory = self.directory.clone();
        self.submit(Box::new(move |core| {
            if unheard == Unheard::Skip && reply.is_closed() {
                return;
            }
            let outcome = match Instant::now() < deadline {
                true => until(Some(deadline), || verb(core)),
                false => Err(too_slow().into()),
            };
            // A caller that has given up does not listen.
            let _ = reply.send(outcome.map_err(|fault| fault.into_error(directory.path())));
        }));
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(session_lost())),
            Err(_) => Err(too_slow().with_context("directory", self.directory.path().display())),
        }
    }

    /// Queues a job that nobody waits for.
    pub(crate) fn submit(&self, job: Job) {
        self.send(Task::Run(job));
    }

    fn send(&self, task: Task) {
        let first = self.shared.queued.fetch_add(1, Ordering::SeqCst) == 0;
        // A thread that is gone drops the job, and with it the sender of the reply.
        let _ = self.tasks.send(task);
        if first {
            self.kick();
        }
    }

    fn try_now<T>(&self, verb: &mut impl FnMut(&mut Core) -> Outcome<T>) -> Option<Result<T>> {
        if self.shared.queued.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let mut core = self.shared.core.try_lock().ok().filter(|core| !core.is_behind())?;
        let outcome = until(None, || verb(&mut core));
        if core.has_chores() {
            self.kick();
        }
        match outcome {
            Err(fault) if fault.is_busy() => None,
            outcome => Some(outcome.map_err(|fault| fault.into_error(self.directory.path()))),
        }
    }

    fn kick(&self) {
        // A full pipe means that the thread has been kicked already.
        let _ = (&self.kick).write(&[0]);
    }

    fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.send(Task::Stop);
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }
}

/// A poisoned mutex means that a verb panicked. Its transaction was not committed, so the state is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
