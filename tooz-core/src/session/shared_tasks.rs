//! Tasks that the users of one session share: one for each roster that is followed, one for each topic that is read.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};

use crate::driver::support::lock;

/// A handle of a task in the background, which ends when the handle is dropped.
pub(crate) trait SharedTask {
    /// Whether the task has ended by itself, so that only a new one can go on.
    fn is_over(&self) -> bool;
}

/// The running tasks, each by its roster or topic. A task ends with its last user.
#[derive(Debug)]
pub(crate) struct SharedTasks<K, T>(Mutex<HashMap<K, Weak<T>>>);

impl<K, T> Default for SharedTasks<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, T: SharedTask> SharedTasks<K, T> {
    /// The task for `key`, which `start` starts unless it runs.
    pub(crate) fn get_or_start(&self, key: &K, start: impl FnOnce() -> T) -> Arc<T> {
        let mut tasks = lock(&self.0);
        if let Some(task) = tasks.get(key).and_then(Weak::upgrade).filter(|task| !task.is_over()) {
            return task;
        }
        tasks.retain(|_, task| task.strong_count() > 0);
        let task = Arc::new(start());
        tasks.insert(key.clone(), Arc::downgrade(&task));
        task
    }
}
