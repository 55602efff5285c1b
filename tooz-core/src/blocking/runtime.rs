//! The runtime of a coordinator, and waiting in it.

use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime as Tokio};

use crate::{Coordinator, Error, ErrorKind, Result};

/// A coordinator and the runtime in which it works. Clones share both.
#[derive(Clone, Debug)]
pub(super) struct Runtime(Arc<RuntimeParts>);

#[derive(Debug)]
struct RuntimeParts {
    coordinator: Coordinator,
    /// `None` only while this is being dropped.
    tokio: Option<Tokio>,
}

impl Runtime {
    /// Starts a runtime with one thread and connects in it.
    pub(super) fn connect(builder: crate::Builder) -> Result<Self> {
        check_thread()?;
        let tokio = Builder::new_multi_thread().worker_threads(1).thread_name("tooz").enable_all().build();
        let tokio = tokio.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "failed to start the thread of the coordinator").with_source(error)
        })?;
        let coordinator = tokio.block_on(builder.connect())?;
        Ok(Self(Arc::new(RuntimeParts { coordinator, tokio: Some(tokio) })))
    }

    pub(super) fn coordinator(&self) -> &Coordinator {
        &self.0.coordinator
    }

    /// Waits for `work`.
    ///
    /// # Errors
    /// `Unsupported` in a thread of an async runtime; else the error of `work`.
    pub(super) fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        check_thread()?;
        match &self.0.tokio {
            Some(tokio) => tokio.block_on(work),
            None => Err(Error::new(ErrorKind::Closed, "the runtime of the coordinator has ended")),
        }
    }
}

impl Drop for RuntimeParts {
    fn drop(&mut self) {
        let Some(tokio) = self.tokio.take() else { return };
        if check_thread().is_ok() {
            tokio.block_on(self.coordinator.close());
        }
        // It waits for no task, so it is allowed in a thread of another runtime, too.
        tokio.shutdown_background();
    }
}

fn check_thread() -> Result<()> {
    match Handle::try_current() {
        Err(_) => Ok(()),
        Ok(_) => {
            let message = "a blocking call in a thread of an async runtime would block the runtime; \
                           use the async API there, or a thread of its own";
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}
