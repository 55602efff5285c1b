//! The executors of this process: one for each directory, shared by its sessions.
//!
//! A forked child has copies of its parent's executors, whose workers do not exist there. Before it uses a directory it
//! closes the copy of the connection, because SQLite shares locks and memory among the connections of a process.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, TryLockError, Weak};
use std::thread;
use std::time::Instant;

use tooz_core::Result;
use tooz_core::driver::support::lock;

use super::executor::Executor;
use super::join::join;
use super::queue::Queue;
use super::worker::Worker;
use crate::db::busy;
use crate::directory::Directory;
use crate::error::{Fault, Outcome, forked_in_use};

static INSTANCES: LazyLock<Mutex<Instances>> = LazyLock::new(Mutex::default);

/// The device and inode of a directory.
type Key = (u64, u64);

/// The executors of one process.
#[derive(Debug, Default)]
struct Instances {
    process: u32,
    slots: HashMap<Key, Arc<Mutex<Slot>>>,
    /// Copies of the slots of the parent that are not closed yet.
    inherited: HashMap<Key, Arc<Mutex<Slot>>>,
}

/// What this process has of one directory. Its lock is held while a connection is opened or closed.
#[derive(Debug, Default)]
struct Slot {
    executor: Weak<Executor>,
    /// The queues of all executors whose workers have not ended.
    queues: Vec<Weak<Queue>>,
    /// The descriptor that holds the presence locks. Executors share it, since closing one frees the locks of all.
    database: Weak<File>,
}

/// The executor of the directory at `path`, which is started if this process has none. Blocks.
pub(crate) fn executor_of(path: &Path, deadline: Instant) -> Result<Arc<Executor>> {
    let start = || {
        let directory = Directory::open(path)?;
        let slot = slot_of(directory.key())?;
        // Two callers that come at once share one executor, and a slow directory does not hold up others.
        let mut locked = lock(&slot);
        match locked.executor.upgrade() {
            Some(executor) if !executor.has_ended() && locked.database_of(&directory).is_some() => Ok(executor),
            _ => locked.start(directory, slot.clone()),
        }
    };
    busy::until(Some(deadline), start).map_err(|fault: Fault| fault.into_error(path))
}

/// Whether no session but the one that asks uses the executor. If so, later sessions get another one.
pub(crate) fn retire(executor: &Arc<Executor>) -> bool {
    let slot = lock(&INSTANCES).slots.get(&executor.directory().key()).cloned();
    let Some(slot) = slot else { return false };
    let mut slot = lock(&slot);
    // Others get the executor under this lock only.
    let retires = Arc::strong_count(executor) == 1;
    if retires && std::ptr::eq(slot.executor.as_ptr(), Arc::as_ptr(executor)) {
        slot.executor = Weak::new();
    }
    retires
}

fn slot_of(key: Key) -> Outcome<Arc<Mutex<Slot>>> {
    let mut instances = lock(&INSTANCES);
    instances.note_fork();
    if let Some(inherited) = instances.inherited.get(&key) {
        close_inherited(inherited)?;
        instances.inherited.remove(&key);
    }
    Ok(instances.slots.entry(key).or_default().clone())
}

fn close_inherited(slot: &Mutex<Slot>) -> Outcome<()> {
    let slot: MutexGuard<'_, Slot> = match slot.try_lock() {
        Ok(slot) => slot,
        Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
        // A thread of the parent was opening or closing the database.
        Err(TryLockError::WouldBlock) => return Err(forked_in_use().into()),
    };
    slot.queues.iter().filter_map(Weak::upgrade).try_for_each(|queue| queue.close_inherited())
}

impl Instances {
    fn note_fork(&mut self) {
        let process = process::id();
        if self.process != process {
            self.process = process;
            self.inherited.extend(self.slots.drain());
        }
    }
}

impl Slot {
    /// The open database file, unless it was removed or replaced meanwhile.
    fn database_of(&self, directory: &Directory) -> Option<Arc<File>> {
        self.database.upgrade().filter(|file| directory.is_database(file))
    }

    fn start(&mut self, directory: Directory, slot: Arc<Mutex<Self>>) -> Outcome<Arc<Executor>> {
        let directory = Arc::new(directory);
        let database = match self.database_of(&directory) {
            Some(database) => database,
            None => Arc::new(directory.open_database()?),
        };
        self.database = Arc::downgrade(&database);
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut state = join(directory.clone(), database)?;
        let worker = Worker::new(&mut state, woken)?;
        let queue = Arc::new(Queue::new(state, wake));
        self.queues.retain(|queue| queue.strong_count() > 0);
        self.queues.push(Arc::downgrade(&queue));
        let executor = Arc::new(Executor::new(queue.clone(), directory));
        self.executor = Arc::downgrade(&executor);
        let body = move || {
            worker.run(&queue);
            // Closing the connection must not coincide with opening another one.
            let locked = lock(&slot);
            let ends = queue.close();
            drop(locked);
            // Last, since the program may fork as soon as it knows.
            drop((queue, slot));
            drop(ends);
        };
        thread::Builder::new().name("tooz-file".into()).spawn(body)?;
        Ok(executor)
    }
}
