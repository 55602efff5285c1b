//! The state of a coordinator's session, and its changes as a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::Stream;
use tokio::sync::broadcast;

use super::process::OwnerProcess;
use crate::step::Step;

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
    present: SessionState,
    /// What `next` has returned last.
    last: Option<SessionState>,
    changes: Step<Changes, Option<SessionState>>,
}

#[derive(Debug)]
struct Changes {
    process: OwnerProcess,
    receiver: broadcast::Receiver<SessionState>,
}

impl SessionStates {
    pub(crate) fn new(
        process: OwnerProcess,
        present: SessionState,
        receiver: broadcast::Receiver<SessionState>,
    ) -> Self {
        Self { present, last: None, changes: Step::new(Changes { process, receiver }) }
    }

    /// Waits for the next state. Returns `None` after [`SessionState::Closed`].
    ///
    /// The first call returns the present state at once. A reader that is more than 64 changes behind continues with the
    /// oldest change that is kept. Cancel safe.
    pub async fn next(&mut self) -> Option<SessionState> {
        poll_fn(|context| self.poll_state(context)).await
    }

    fn poll_state(&mut self, context: &mut Context<'_>) -> Poll<Option<SessionState>> {
        let state = match self.last {
            Some(SessionState::Closed) => return Poll::Ready(None),
            Some(last) => ready!(self.changes.poll(context, |changes| Box::pin(changes.after(last)))),
            None => Some(self.present),
        };
        self.last = state.or(self.last);
        Poll::Ready(state)
    }
}

/// The states of [`SessionStates::next`].
impl Stream for SessionStates {
    type Item = SessionState;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SessionState>> {
        self.poll_state(context)
    }
}

impl Changes {
    /// Waits for a state that differs from `last`. In a fork it is `Closed`.
    async fn after(mut self, last: SessionState) -> (Self, Option<SessionState>) {
        let process = self.process;
        let changed = async {
            loop {
                match self.receiver.recv().await {
                    Ok(state) if state != last => return Some(state),
                    // The present state may be among the changes, because `next` returns it before the task has reported it.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        };
        let state = process.run(changed).await.unwrap_or(Some(SessionState::Closed));
        (self, state)
    }
}
