//! Elections of the blocking API.

use std::convert::Infallible;
use std::time::Duration;

use super::coordinator::Coordinator;
use super::runtime::Runtime;
use crate::{Error, FencingToken, Leader, Result};

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
        let leadership = self.runtime.run(self.election.campaign())?;
        Ok(Leadership { leadership, runtime: self.runtime.clone() })
    }

    /// Waits to be elected, at most for `limit`.
    ///
    /// # Errors
    /// `Timeout`; else as [`campaign`](Self::campaign).
    pub fn campaign_timeout(&self, limit: Duration) -> Result<Leadership> {
        let leadership = self.runtime.run(self.election.campaign_timeout(limit))?;
        Ok(Leadership { leadership, runtime: self.runtime.clone() })
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
    // In this order: the runtime ends last.
    leadership: crate::Leadership,
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

    /// Waits until the leadership is lost and returns the cause; or the error of a thread that must not wait.
    pub fn lost(&self) -> Error {
        let Err(cause) = self.runtime.run(async { Err::<Infallible, _>(self.leadership.lost().await) });
        cause
    }

    /// Resigns. Success means that the leadership was held until now.
    ///
    /// # Errors
    /// As [`Leadership::resign`](crate::Leadership::resign).
    pub fn resign(self) -> Result<()> {
        let Self { leadership, runtime } = self;
        runtime.run(leadership.resign())
    }
}

/// The leaders of an election from now on; see [`tooz_core::Observation`](crate::Observation).
#[derive(Debug)]
#[must_use = "leaders are received with `next`"]
pub struct Observation {
    // In this order: the runtime ends last.
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
