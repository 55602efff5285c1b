//! The coordinator: one session with one backend, and everything that can be made from it.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::builder::Builder;
use crate::driver::{Kind, Roster};
use crate::election::Election;
use crate::group::Group;
use crate::live::Live;
use crate::lock::Lock;
use crate::semaphore::Semaphore;
use crate::state::{SessionState, SessionStates};
use crate::supervisor::Shared;
use crate::topic::Topic;
use crate::{Characteristic, Error, Name, Result};

/// Connects to the backend at `url` with the options that the URL carries; see [`Coordinator::builder`] for more.
///
/// # Errors
/// As [`Builder::connect`].
pub async fn connect(url: &str) -> Result<Coordinator> {
    Builder::new(url).connect().await
}

/// One session with a backend. Clones share it; it ends when the last clone and all that was made from it are gone, or
/// with [`close`](Coordinator::close).
///
/// A task renews the session. When it is lost all the same, what it held is lost too and its holders are told; the
/// coordinator then opens a new session by itself and joins its groups again.
#[derive(Clone, Debug)]
pub struct Coordinator {
    handle: Arc<Handle>,
}

/// Closes the session when the last clone is dropped.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl Coordinator {
    /// Options for connecting to the backend at `url`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tooz_core::Error> {
    /// use std::time::Duration;
    /// use tooz_core::{Characteristic, Coordinator};
    ///
    /// let coordinator = Coordinator::builder("memory://example")
    ///     .member("host-a")
    ///     .ttl(Duration::from_secs(10))
    ///     .require(Characteristic::Linearizable)
    ///     .connect()
    ///     .await?;
    /// coordinator.close().await;
    /// # Ok(()) }
    /// ```
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref())
    }

    pub(crate) fn start(shared: Arc<Shared>, live: Arc<Live>) -> Self {
        tokio::spawn(shared.clone().supervise(live));
        Self { handle: Arc::new(Handle { shared }) }
    }

    /// Who we are in groups and in the list of holders.
    pub fn member(&self) -> &Name {
        &self.shared().options.member
    }

    /// What everything in the backend stands under.
    pub fn namespace(&self) -> &str {
        &self.shared().options.namespace
    }

    /// What holds on this backend.
    pub fn characteristics(&self) -> &'static [Characteristic] {
        self.shared().info.characteristics
    }

    /// The product behind the driver, such as `"redis"`.
    pub fn driver_name(&self) -> &'static str {
        self.shared().info.name
    }

    /// The lock of this name. Nothing is sent until it is acquired; a name that is not valid is reported then.
    pub fn lock(&self, name: impl AsRef<[u8]>) -> Lock {
        Lock::new(self.target(Kind::Lock, name))
    }

    /// The semaphore of this name with `permits` permits, at least 1. All its users must name the same number.
    pub fn semaphore(&self, name: impl AsRef<[u8]>, permits: u32) -> Semaphore {
        Semaphore::new(self.target(Kind::Semaphore, name), permits)
    }

    /// The election of this name; the election of a group is the one with the group's name.
    pub fn election(&self, name: impl AsRef<[u8]>) -> Election {
        Election::new(self.target(Kind::Election, name))
    }

    /// The group of this name.
    pub fn group(&self, name: impl AsRef<[u8]>) -> Group {
        Group::new(self.target(Kind::Group, name))
    }

    /// The topic of this name.
    pub fn topic(&self, name: impl AsRef<[u8]>) -> Topic {
        Topic::new(self.clone(), name.as_ref())
    }

    /// The names of all groups that were created, in byte order.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`.
    pub async fn groups(&self) -> Result<Vec<Name>> {
        let span = tracing::debug_span!("tooz", operation = "groups", member = %self.member());
        let groups = async {
            let live = self.live().await?;
            live.retry(Some(self.timeout()), || live.session.declared(Kind::Group)).await
        };
        groups.instrument(span).await.map_err(|error| error.with_operation("groups"))
    }

    /// The present state of the session.
    pub fn state(&self) -> SessionState {
        *self.shared().state.borrow()
    }

    /// The states of the session from now on, the present one first.
    pub fn states(&self) -> SessionStates {
        let changes = self.shared().states.subscribe();
        SessionStates { first: Some(self.state()), over: false, changes }
    }

    /// Gives up everything that is held, leaves all groups and ends the session. Returns when the backend was told, or
    /// could not be told within the timeout: it then drops the session by its TTL. Closing twice is fine.
    ///
    /// Cancel safe: once begun, it goes on in the background.
    pub async fn close(&self) {
        self.shared().closing.cancel();
        let mut state = self.shared().state.subscribe();
        let _ = state.wait_for(|state| *state == SessionState::Closed).await;
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    pub(crate) async fn live(&self) -> Result<Arc<Live>> {
        self.shared().live().await
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.shared().options.timeout
    }

    fn target(&self, kind: Kind, name: impl AsRef<[u8]>) -> Target {
        let roster = Name::new(name.as_ref()).map(|name| Arc::new(Roster { kind, name }));
        Target { coordinator: self.clone(), roster: roster.map_err(|error| error.with_context("what", kind)) }
    }
}

/// A roster that the user named. A name that is not valid comes out as the error of the first use.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) coordinator: Coordinator,
    roster: Result<Arc<Roster>, Error>,
}

impl Target {
    pub(crate) fn roster(&self) -> Result<&Arc<Roster>> {
        self.roster.as_ref().map_err(Error::clone)
    }

    /// The same name used for something else.
    pub(crate) fn with_kind(&self, kind: Kind) -> Self {
        let roster = self.roster.clone().map(|roster| Arc::new(Roster { kind, name: roster.name.clone() }));
        Self { coordinator: self.coordinator.clone(), roster }
    }

    /// Runs `work` in a span of its own, and adds to its error what was attempted, on which name.
    pub(crate) async fn run<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let member = self.coordinator.member();
        let span = match &self.roster {
            Ok(roster) => tracing::debug_span!("tooz", operation, %member, %roster),
            Err(_) => tracing::debug_span!("tooz", operation, %member),
        };
        self.in_context(operation, work.instrument(span).await)
    }

    fn in_context<T>(&self, operation: &'static str, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let error = error.with_operation(operation);
            let named = error.context().next().is_some();
            match &self.roster {
                Ok(roster) if !named => error.with_context(roster.kind.as_str(), &roster.name),
                _ => error,
            }
        })
    }
}
