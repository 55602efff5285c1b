//! The coordinator of the blocking API.

use super::runtime::Runtime;
use crate::{Builder, Health, Name, Result, SessionState};

/// One session with a backend, as [`tooz_core::Coordinator`](crate::Coordinator).
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(super) runtime: Runtime,
}

impl Coordinator {
    /// Connects to a URL, or with a [`Builder`] or a [`Config`](crate::Config).
    ///
    /// # Errors
    /// As [`Builder::connect`], and `Unsupported` in a thread of an async runtime.
    pub fn connect(backend: impl Into<Builder>) -> Result<Self> {
        Ok(Self { runtime: Runtime::connect(backend.into())? })
    }

    /// The async coordinator, for [`block_on`](Self::block_on).
    pub fn inner(&self) -> &crate::Coordinator {
        self.runtime.coordinator()
    }

    /// Runs any operation of the async API, and waits for its result.
    ///
    /// ```
    /// # fn main() -> Result<(), tooz_core::Error> {
    /// # let coordinator = tooz_core::blocking::Coordinator::connect("memory://block-on-doc")?;
    /// let mut watch = coordinator.inner().lock("nightly").watch();
    /// assert!(coordinator.block_on(watch.next())?.holders.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The error of `work`, and `Unsupported` in a thread of an async runtime.
    pub fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.run(work)
    }

    /// The member id of this client.
    pub fn member(&self) -> &Name {
        self.inner().member()
    }

    /// The present state of the session.
    pub fn state(&self) -> SessionState {
        self.inner().state()
    }

    /// The health of the coordinator; see [`Coordinator::health`](crate::Coordinator::health).
    ///
    /// # Errors
    /// `Unsupported` in a thread of an async runtime.
    pub fn health(&self) -> Result<Health> {
        self.runtime.run(async { Ok(self.inner().health().await) })
    }

    /// The names of all locks that a client holds or awaits.
    ///
    /// # Errors
    /// As [`Names::next`](crate::Names::next).
    pub fn locks(&self) -> Result<Vec<Name>> {
        self.runtime.run(self.inner().locks().all())
    }

    /// The names of all semaphores that a client holds or awaits.
    ///
    /// # Errors
    /// As [`locks`](Self::locks).
    pub fn semaphores(&self) -> Result<Vec<Name>> {
        self.runtime.run(self.inner().semaphores().all())
    }

    /// The names of all elections with a leader or a candidate.
    ///
    /// # Errors
    /// As [`locks`](Self::locks).
    pub fn elections(&self) -> Result<Vec<Name>> {
        self.runtime.run(self.inner().elections().all())
    }

    /// The names of all topics with a message.
    ///
    /// # Errors
    /// As [`locks`](Self::locks), and `Unsupported` on a backend without topics.
    pub fn topics(&self) -> Result<Vec<Name>> {
        self.runtime.run(self.inner().topics().all())
    }

    /// The names of all groups that were created.
    ///
    /// # Errors
    /// As [`Coordinator::groups`](crate::Coordinator::groups).
    pub fn groups(&self) -> Result<Vec<Name>> {
        self.runtime.run(self.inner().groups())
    }

    /// Releases everything that this coordinator holds and ends the session.
    ///
    /// # Errors
    /// `Unsupported` in a thread of an async runtime.
    pub fn close(&self) -> Result<()> {
        self.runtime.run(async {
            self.inner().close().await;
            Ok(())
        })
    }
}
