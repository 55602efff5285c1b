//! How the session with the backend fares, as a stream.

use futures_util::Stream;
use tokio::sync::broadcast;
use tokio::time::Instant;

/// The state of a coordinator's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// The backend answers.
    Connected,
    /// The last renewal failed. What is held stays ours until the deadline (`None`: no matter how long it takes).
    Suspended {
        /// When everything held is lost unless a renewal succeeds before.
        until: Option<Instant>,
    },
    /// The session is over and everything held is lost; a new one is being opened.
    Lost,
    /// The coordinator was closed.
    Closed,
}

/// The changes of a [`SessionState`], beginning with the present one.
#[derive(Debug)]
pub struct SessionStates {
    pub(crate) first: Option<SessionState>,
    pub(crate) over: bool,
    pub(crate) changes: broadcast::Receiver<SessionState>,
}

impl SessionStates {
    /// The next state; `None` after [`SessionState::Closed`]. Cancel safe.
    ///
    /// A reader that is 64 changes behind continues with the oldest that is still known.
    pub async fn next(&mut self) -> Option<SessionState> {
        if let Some(first) = self.first.take() {
            self.over = first == SessionState::Closed;
            return Some(first);
        }
        while !self.over {
            match self.changes.recv().await {
                Ok(state) => {
                    self.over = state == SessionState::Closed;
                    return Some(state);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
        None
    }

    /// The same as a [`Stream`].
    pub fn into_stream(self) -> impl Stream<Item = SessionState> + Send {
        futures_util::stream::unfold(self, |mut states| async { states.next().await.map(|state| (state, states)) })
    }
}
