//! The thread on which the client crates work, whatever becomes of the runtimes of the user: one for all sessions of a process.
//!
//! - zookeeper-async cannot be dropped. If one of its clients cannot end its session, later sessions use another thread, and
//!   that client ends when the other sessions of its thread have ended.
//! - zookeeper-client panics in one runtime when its session belongs to another one that ends.
//! - A fork copies no threads, so a child process starts its own.

use std::sync::{Arc, Mutex, Weak};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinSet};
use tooz_core::driver::support::lock;

use crate::error::{Answer, unexpected};

/// The thread of this process, with the process that started it.
static SHARED: Mutex<(u32, Weak<Background>)> = Mutex::new((0, Weak::new()));

/// A runtime of one thread, which ends when this is dropped, also in an async context.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Background {
    /// The thread that sessions of this process share.
    pub(super) fn shared() -> Answer<Arc<Self>> {
        let (mut shared, process) = (lock(&SHARED), std::process::id());
        if let Some(running) = shared.1.upgrade().filter(|_| shared.0 == process) {
            return Ok(running);
        }
        let mut builder = Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(1).thread_name("tooz-zookeeper").enable_all().build().map_err(unexpected)?;
        let started = Arc::new(Self { handle: runtime.handle().clone(), runtime: Some(runtime) });
        *shared = (process, Arc::downgrade(&started));
        Ok(started)
    }

    /// Has later sessions start another thread.
    pub(super) fn retire(&self) {
        let mut shared = lock(&SHARED);
        if std::ptr::eq(shared.1.as_ptr(), self) {
            shared.1 = Weak::new();
        }
    }

    /// Runs `work` in the thread. Dropping the returned future aborts it.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Answer<T> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, &self.handle);
        match tasks.join_next().await {
            Some(Ok(done)) => Ok(done),
            _ => Err(unexpected("the thread of the client crate has ended").into()),
        }
    }

    /// Starts a task in the thread.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.handle.spawn(work).abort_handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
