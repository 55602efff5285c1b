//! What is known of the connection, told by the wire and read by everybody.

use tokio::sync::watch;

use super::watches::Watches;
use super::{Answer, Fault};

/// The state of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Away,
    /// There is a connection that nothing was sent on yet.
    Fresh,
    Ready,
    Over(String),
}

/// The state of the connection and the watches that it carries.
#[derive(Debug)]
pub(super) struct Link {
    state: watch::Sender<State>,
    pub(super) watches: std::sync::Arc<Watches>,
}

impl Default for Link {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::Away), watches: std::sync::Arc::default() }
    }
}

impl Link {
    /// The connection is gone.
    pub(super) fn away(&self) {
        self.change(State::Away);
    }

    /// There is a new connection.
    pub(super) fn fresh(&self) {
        self.change(State::Fresh);
    }

    /// The connection may be used, unless it is gone already. Watches of an earlier connection ring.
    pub(super) fn ready(&self) {
        let ready = |state: &mut State| {
            let fit = *state == State::Fresh;
            if fit {
                *state = State::Ready;
            }
            fit
        };
        self.state.send_if_modified(ready);
        self.watches.ring_all();
    }

    /// The session is over. The first reason stays.
    pub(super) fn end(&self, reason: &str) -> Fault {
        self.change(State::Over(reason.to_owned()));
        self.watches.ring_all();
        self.check().err().unwrap_or_else(|| Fault::Over(reason.to_owned()))
    }

    fn change(&self, to: State) {
        self.state.send_if_modified(|state| {
            let changes = !matches!(state, State::Over(_)) && *state != to;
            if changes {
                *state = to;
            }
            changes
        });
    }

    pub(super) fn check(&self) -> Answer<()> {
        match &*self.state.borrow() {
            State::Over(reason) => Err(Fault::Over(reason.clone())),
            _ => Ok(()),
        }
    }

    /// Waits until requests may be sent.
    pub(super) async fn connected(&self) -> Answer<()> {
        // The way without a wait takes no receiver.
        if *self.state.borrow() == State::Ready {
            return Ok(());
        }
        self.next(State::Ready).await
    }

    /// Waits for a state; fails if the session is over.
    pub(super) async fn next(&self, wanted: State) -> Answer<()> {
        let mut states = self.state.subscribe();
        let reached = states.wait_for(|state| *state == wanted || matches!(state, State::Over(_))).await;
        match reached.as_deref() {
            Ok(State::Over(reason)) => Err(Fault::Over(reason.clone())),
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::Over("it was dropped".to_owned())),
        }
    }

    /// Waits for the session's end; says why.
    pub(super) async fn over(&self) -> String {
        let mut states = self.state.subscribe();
        match states.wait_for(|state| matches!(state, State::Over(_))).await.as_deref() {
            Ok(State::Over(reason)) => reason.clone(),
            _ => "it was dropped".to_owned(),
        }
    }
}
