//! The executors of this process: one for each directory, shared by its sessions.
//!
//! - Adding a session to a state and closing a state without sessions both hold the lock of the directory's slot. So there
//!   is one connection at a time, even if sessions begin and end concurrently.
//! - A forked child has copies of its parent's executors, whose workers do not exist there. Before it uses a directory it
//!   closes the copy of the connection, because SQLite shares locks and memory among the connections of a process.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Instant;

use tooz_core::Result;
use tooz_core::driver::support::lock;

use super::executor::Executor;
use super::join::join;
use super::state::LocalSession;
use super::worker::Worker;
use crate::db::busy;
use crate::directory::Directory;
use crate::error::{Fault, Outcome, forked_in_use};

static INSTANCES: LazyLock<Mutex<Instances>> = LazyLock::new(Mutex::default);

/// The device and inode of a directory.
type Key = (u64, u64);

/// The executor of one directory, from its start until its files are closed.
type Slot = Mutex<Option<Arc<Executor>>>;

/// The executors of one process.
#[derive(Debug, Default)]
struct Instances {
    process: u32,
    slots: HashMap<Key, Arc<Slot>>,
    /// Copies of the slots of the parent that are not closed yet.
    inherited: HashMap<Key, Arc<Slot>>,
}

/// Adds a session to the executor of the directory at `path`, which is started if this process has none. Blocks. Returns
/// the id of the session.
pub(crate) fn add_session(path: &Path, session: LocalSession, deadline: Instant) -> Result<(Arc<Executor>, u64)> {
    busy::until(Some(deadline), || try_add_session(path, session)).map_err(|fault| fault.into_error(path))
}

fn try_add_session(path: &Path, session: LocalSession) -> Outcome<(Arc<Executor>, u64)> {
    loop {
        let directory = Directory::open(path)?;
        let slot = slot_of(directory.key())?;
        let mut locked = lock(&slot);
        let executor = match &*locked {
            Some(executor) => executor.clone(),
            None => locked.insert(start(directory, slot.clone())?).clone(),
        };
        if let Some(state) = executor.state().as_mut()
            && state.check_directory().is_ok()
        {
            let id = state.add_session(session);
            executor.changed.notify_waiters();
            return Ok((executor.clone(), id));
        }
        // The directory was emptied, so the worker is ending.
        drop(locked);
        executor.wake_worker();
        if !busy::wait() {
            return Err(Fault::NeedsTime);
        }
    }
}

fn slot_of(key: Key) -> Outcome<Arc<Slot>> {
    let mut instances = lock(&INSTANCES);
    let process = process::id();
    if instances.process != process {
        instances.process = process;
        let copies = std::mem::take(&mut instances.slots);
        instances.inherited.extend(copies);
    }
    if let Some(inherited) = instances.inherited.get(&key) {
        close_inherited(inherited)?;
        instances.inherited.remove(&key);
    }
    Ok(instances.slots.entry(key).or_default().clone())
}

fn close_inherited(slot: &Slot) -> Outcome<()> {
    let slot: MutexGuard<'_, _> = match slot.try_lock() {
        Ok(slot) => slot,
        Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
        // A thread of the parent was opening or closing the database.
        Err(TryLockError::WouldBlock) => return Err(forked_in_use().into()),
    };
    slot.iter().try_for_each(|executor| executor.close_inherited())
}

fn start(directory: Directory, slot: Arc<Slot>) -> Outcome<Arc<Executor>> {
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    let database = directory.open_database()?;
    let state = join(Arc::new(directory), database)?;
    let mut worker = Worker::new(&state, woken)?;
    let executor = Arc::new(Executor::new(state, wake));
    let shared = executor.clone();
    let body = move || {
        loop {
            let panicked = catch_unwind(AssertUnwindSafe(|| worker.run(&shared))).is_err();
            if close_unused(&slot, &shared, panicked) {
                break;
            }
        }
        // The notification comes last, since the program may fork as soon as it is notified.
        drop((worker, slot));
        shared.changed.notify_waiters();
    };
    thread::Builder::new().name("tooz-file".into()).spawn(body)?;
    Ok(executor)
}

/// Closes the state if it has no sessions, or if its worker has panicked. Returns whether it did.
fn close_unused(slot: &Slot, executor: &Executor, panicked: bool) -> bool {
    let mut slot = lock(slot);
    let mut locked = executor.state();
    if let Some(state) = locked.as_mut() {
        if panicked {
            tracing::error!("the worker thread has panicked; its sessions are over");
            state.lose();
        }
        if state.has_sessions() {
            return false;
        }
        state.deregister();
    }
    // The connection is closed before another one can be opened.
    drop(locked.take());
    executor.close();
    *slot = None;
    true
}
