//! Elections of the blocking API.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::calls::run_with;
use super::coordinator::Coordinator;
use super::runtime::Runtime;
use crate::{CancellationToken, Error, FencingToken, Leader, Result};

impl Coordinator {
    /// The election with this name.
    #[must_use]
    pub fn election(&self, name: impl AsRef<[u8]>) -> Election {
        Election { runtime: self.runtime.clone(), election: self.inner().election(name) }
    }
}

/// An election; see [`tooz_core::Election`](crate::Election).
#[derive(Clone, Debug)]
pub struct Election {
    runtime: Runtime,
    election: crate::Election,
}

impl Election {
    /// Waits to be elected, for as long as it takes.
    ///
    /// # Errors
    /// As [`Election::campaign`](crate::Election::campaign).
    pub fn campaign(&self) -> Result<Leadership> {
        Ok(self.leadership(self.runtime.run(self.election.campaign())?))
    }

    /// Waits to be elected, at most for `limit`.
    ///
    /// # Errors
    /// `Timeout`; else as [`campaign`](Self::campaign).
    pub fn campaign_timeout(&self, limit: Duration) -> Result<Leadership> {
        Ok(self.leadership(self.runtime.run(self.election.campaign_timeout(limit))?))
    }

    /// Campaigns, and calls `work` whenever this client leads, until it returns while it leads, or `shutdown` is cancelled.
    /// Then it resigns, so that the next candidate leads at once; see [`Election::lead`](crate::Election::lead).
    ///
    /// A thread cannot be interrupted, so let `work` check [`is_held`](Leadership::is_held) and `shutdown` before each
    /// step, and return when the leadership is lost or `shutdown` is cancelled. After a loss the result of `work` is
    /// dropped, and the client campaigns again.
    ///
    /// ```
    /// # fn main() -> Result<(), tooz_core::Error> {
    /// use tooz_core::{CancellationToken, Error, blocking::Coordinator};
    ///
    /// let coordinator = Coordinator::connect("memory://blocking-lead-doc")?;
    /// let shutdown = CancellationToken::new(); // cancel it when the program is asked to end
    /// coordinator.election("scheduler").lead(&shutdown, |leadership| {
    ///     while leadership.is_held() && !shutdown.is_cancelled() {
    ///         // one step of the work
    /// #       shutdown.cancel();
    ///     }
    ///     Ok::<_, Error>(())
    /// })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Election::lead`](crate::Election::lead), and `Unsupported` in a thread of an async runtime.
    pub fn lead<E: From<Error>>(
        &self,
        shutdown: &CancellationToken,
        mut work: impl FnMut(&Leadership) -> Result<(), E>,
    ) -> Result<(), E> {
        let closure = |leadership| work(&self.leadership(leadership));
        run_with(&self.runtime, closure, |work| self.election.lead(shutdown, work))
    }

    fn leadership(&self, leadership: impl Into<Arc<crate::Leadership>>) -> Leadership {
        Leadership { leadership: leadership.into(), runtime: self.runtime.clone() }
    }

    /// Reads the leader at this moment.
    ///
    /// # Errors
    /// As [`Election::leader`](crate::Election::leader).
    pub fn leader(&self) -> Result<Option<Leader>> {
        self.runtime.run(self.election.leader())
    }

    /// Follows the changes of the leader.
    pub fn observe(&self) -> Observation {
        Observation { observation: self.election.observe(), runtime: self.runtime.clone() }
    }
}

/// The leadership of one term. Dropping it resigns in the background; see [`tooz_core::Leadership`](crate::Leadership).
#[derive(Debug)]
#[must_use = "dropping a leadership resigns"]
pub struct Leadership {
    // Fields are dropped in this order: the runtime ends last.
    leadership: Arc<crate::Leadership>,
    runtime: Runtime,
}

impl Leadership {
    /// The term, which is the fencing token.
    pub fn term(&self) -> FencingToken {
        self.leadership.term()
    }

    /// Whether you may rely on the leadership at this moment. Sends nothing.
    pub fn is_held(&self) -> bool {
        self.leadership.is_held()
    }

    /// Waits until the leadership is lost and returns the cause; `Unsupported` in a thread of an async runtime.
    pub fn lost(&self) -> Error {
        let Err(cause) = self.runtime.run(async { Err::<Infallible, _>(self.leadership.lost().await) });
        cause
    }

    /// Resigns. Success means that the leadership was held until now.
    ///
    /// # Errors
    /// As [`Leadership::resign`](crate::Leadership::resign).
    pub fn resign(self) -> Result<()> {
        self.runtime.run(self.leadership.resign_shared())
    }
}

/// The leaders of an election from now on; see [`tooz_core::Observation`](crate::Observation).
#[derive(Debug)]
#[must_use = "leaders are received with `next`"]
pub struct Observation {
    // Fields are dropped in this order: the runtime ends last.
    observation: crate::Observation,
    runtime: Runtime,
}

impl Observation {
    /// Waits for the next leader; the present one first.
    ///
    /// # Errors
    /// As [`Observation::next`](crate::Observation::next).
    #[expect(clippy::should_implement_trait, reason = "as in the async API")]
    pub fn next(&mut self) -> Result<Option<Leader>> {
        self.runtime.run(self.observation.next())
    }
}
