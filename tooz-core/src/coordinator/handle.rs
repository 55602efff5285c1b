//! The coordinator: one session with one backend. Locks, groups and topics add their constructors in their own files.

use std::sync::{Arc, Mutex, Weak};

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::driver::support::lock;
use crate::session::live::LiveSession;
use crate::session::supervisor::Supervisor;
use crate::session::{SessionState, SessionStates};
use crate::{Characteristic, Name, Result};

/// One session with a backend, and the constructors of everything that uses it.
///
/// Clones are cheap and share the session. It ends with [`close`](Coordinator::close), or when the last clone and every
/// object made from one (a [`Guard`](crate::Guard), a [`Membership`](crate::Membership), …) are dropped.
///
/// A task renews the session. If the session is lost nevertheless, everything that it held is lost, and the holders are
/// notified. The coordinator then opens a new session by itself and enters its groups again. Locks and leaderships are
/// not acquired again: what they protected may have changed meanwhile.
///
/// It belongs to the process and to the runtime that connected. In a fork of the process, and once the runtime has
/// ended, every use fails with `Closed`; connect again there.
#[derive(Clone, Debug)]
pub struct Coordinator {
    handle: Arc<CoordinatorHandle>,
}

/// Closes the session when the last clone is dropped.
#[derive(Debug)]
struct CoordinatorHandle {
    supervisor: Arc<Supervisor>,
    /// Further sessions, which are closed with this one.
    leases: Mutex<Vec<Weak<Supervisor>>>,
}

impl Drop for CoordinatorHandle {
    fn drop(&mut self) {
        if self.supervisor.process().is_current() {
            self.supervisor.close();
        } else {
            // In a fork, nothing of the parent's coordinator is dropped: it could end the parent's session.
            std::mem::forget(self.supervisor.clone());
        }
    }
}

impl Coordinator {
    pub(crate) fn new(supervisor: Arc<Supervisor>) -> Self {
        Self { handle: Arc::new(CoordinatorHandle { supervisor, leases: Mutex::default() }) }
    }

    /// The member id of this client, in groups and in the [`Queue`](crate::Queue) of a lock.
    pub fn member(&self) -> &Name {
        &self.supervisor().options().member
    }

    /// The namespace: the prefix of everything that this client reads or writes in the backend.
    pub fn namespace(&self) -> &str {
        &self.supervisor().options().namespace
    }

    /// The guarantees of this backend.
    pub fn characteristics(&self) -> &'static [Characteristic] {
        self.supervisor().info().characteristics
    }

    /// The product behind the driver, such as `"redis"`.
    pub fn driver_name(&self) -> &'static str {
        self.supervisor().info().name
    }

    /// The present state of the session. Does not wait.
    pub fn state(&self) -> SessionState {
        self.supervisor().state()
    }

    /// The states of the session from now on, the present one first.
    pub fn states(&self) -> SessionStates {
        self.supervisor().states()
    }

    /// Releases everything that this coordinator holds, leaves all groups and ends the session.
    ///
    /// Returns when the backend has answered. If the backend does not answer within the request timeout, the session ends
    /// by its TTL. Closing twice has no further effect.
    ///
    /// Cancel safe: once begun, closing continues in the background.
    pub async fn close(&self) {
        let leases: Vec<_> = lock(&self.handle.leases).iter().filter_map(Weak::upgrade).collect();
        let supervisors = || leases.iter().map(|lease| &**lease).chain([self.supervisor()]);
        supervisors().for_each(Supervisor::close);
        // The driver closes within the timeout. A task whose runtime is not driven would never answer.
        let limit = self.supervisor().options().timeout.saturating_mul(2);
        let _ = timeout(limit, join_all(supervisors().map(Supervisor::ended))).await;
    }

    /// Makes [`close`](Self::close) close a further session, too.
    pub(super) fn add_lease(&self, lease: Weak<Supervisor>) {
        let mut leases = lock(&self.handle.leases);
        leases.retain(|lease| lease.strong_count() > 0);
        leases.push(lease);
    }

    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.handle.supervisor
    }

    /// The present session; waits for the next one while there is none.
    pub(crate) async fn live(&self) -> Result<Arc<LiveSession>> {
        self.supervisor().live().await
    }
}
