//! The state of a coordinator's session, and its changes as a stream.

use std::time::Instant;

use futures_util::Stream;
use tokio::sync::broadcast;

use super::process::OwnerProcess;

/// The state of a coordinator's session; see [`Coordinator::state`](crate::Coordinator::state).
///
/// ```text
/// Connected <-> Suspended       a renewal fails or succeeds again
/// Connected, Suspended -> Lost  the backend ends the session, or its deadline passes
/// Lost -> Connected             the coordinator has opened a new session
/// any -> Closed                 the coordinator was closed, or its runtime has ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// The last renewal succeeded.
    Connected,
    /// The last renewal failed. Everything that the session holds stays held until the deadline.
    Suspended {
        /// When the session is lost unless a renewal succeeds before; `None` if its liveness does not depend on time. If
        /// the host is suspended meanwhile, that moment comes earlier by the length of the suspend.
        until: Option<Instant>,
    },
    /// The session is over, and everything that it held is lost. The coordinator is opening a new one.
    Lost,
    /// There will be no further session: the coordinator was closed, the runtime in which it connected has ended, or
    /// this process is a fork of the one that connected.
    Closed,
}

/// The present [`SessionState`] and its changes; see [`Coordinator::states`](crate::Coordinator::states).
#[derive(Debug)]
#[must_use = "states are received with `next`"]
pub struct SessionStates {
    process: OwnerProcess,
    present: SessionState,
    /// What `next` has returned last.
    last: Option<SessionState>,
    changes: broadcast::Receiver<SessionState>,
}

impl SessionStates {
    pub(crate) fn new(
        process: OwnerProcess,
        present: SessionState,
        changes: broadcast::Receiver<SessionState>,
    ) -> Self {
        Self { process, present, last: None, changes }
    }

    /// Waits for the next state. Returns `None` after [`SessionState::Closed`].
    ///
    /// The first call returns the present state at once. A reader that is more than 64 changes behind continues with the
    /// oldest change that is kept. Cancel safe.
    pub async fn next(&mut self) -> Option<SessionState> {
        let process = self.process;
        let state = match self.last {
            Some(SessionState::Closed) => return None,
            Some(_) => process.run(self.changed()).await.unwrap_or(Some(SessionState::Closed))?,
            None => self.present,
        };
        self.last = Some(state);
        self.last
    }

    /// Converts into a [`Stream`] of the same states.
    pub fn into_stream(self) -> impl Stream<Item = SessionState> + Send {
        futures_util::stream::unfold(self, |mut states| async { states.next().await.map(|state| (state, states)) })
    }

    async fn changed(&mut self) -> Option<SessionState> {
        loop {
            match self.changes.recv().await {
                Ok(state) if self.last != Some(state) => return Some(state),
                // The present state may be among the changes, because `next` returns it before the task has reported it.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
