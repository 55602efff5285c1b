//! Watching a roster across sessions: each change once, as the state after it.
//!
//! If the server was emptied or restored, the next session belongs to another history of the server. The numbers of its
//! entries may have started again, so the update says that it begins a new history.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::Result;
use crate::coordinator::RosterTarget;
use crate::session::follower::RosterFollower;
use crate::session::live::LiveSession;
use crate::session::roster_state::RosterState;
use crate::session::shared_tasks::SharedTask;
use crate::step::Step;

/// Follows the states of a roster, through outages and losses of the session.
#[derive(Debug)]
pub(crate) struct RosterWatch {
    operation: &'static str,
    step: Step<WatchState, Result<RosterUpdate>>,
}

#[derive(Debug)]
struct WatchState {
    target: RosterTarget,
    position: Option<WatchPosition>,
    /// Whether the watch has started anew since the last update.
    interrupted: bool,
    /// The history of the server from which the last update came.
    history: Option<u64>,
}

/// What a watch has received last.
#[derive(Debug)]
struct WatchPosition {
    live: Arc<LiveSession>,
    follower: Arc<RosterFollower>,
    generation: u64,
}

/// The state of a roster after a change.
#[derive(Debug)]
pub(crate) struct RosterUpdate {
    pub(crate) state: RosterState,
    /// Whether the watch was interrupted before this state. Changes that cancelled each other out may be missing then.
    pub(crate) interrupted: bool,
    /// Whether the seqs of this state are not comparable with those of earlier states.
    pub(crate) new_history: bool,
}

impl RosterWatch {
    /// A watch whose errors name this operation.
    pub(crate) fn new(target: RosterTarget, operation: &'static str) -> Self {
        let state = WatchState { target, position: None, interrupted: false, history: None };
        Self { operation, step: Step::new(state) }
    }

    /// Polls for the next state: the present one first, then one after each change.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<RosterUpdate>> {
        let operation = self.operation;
        self.step.poll(context, |mut state| {
            Box::pin(async move {
                let target = state.target.clone();
                let update = target.run(operation, state.advance()).await;
                (state, update)
            })
        })
    }
}

impl WatchState {
    async fn advance(&mut self) -> Result<RosterUpdate> {
        loop {
            let (roster, live) = match self.target.open().await {
                Err(error) if error.is_retryable() => continue,
                opened => opened?,
            };
            let ended = |last: &mut WatchPosition| !Arc::ptr_eq(&last.live, &live) || last.follower.is_over();
            self.interrupted |= self.position.take_if(ended).is_some();
            let (follower, generation) = match &self.position {
                Some(last) => (last.follower.clone(), Some(last.generation)),
                None => (live.follower(roster), None),
            };
            match follower.next(generation).await {
                Ok((generation, state)) => {
                    let history = live.session().history();
                    let new_history = self.history.replace(history).is_some_and(|before| before != history);
                    let interrupted = std::mem::take(&mut self.interrupted);
                    self.position = Some(WatchPosition { live, follower, generation });
                    return Ok(RosterUpdate { state, interrupted, new_history });
                }
                // The watch continues with the next session.
                Err(error) if error.is_session_lost() => {}
                Err(error) => {
                    self.interrupted |= self.position.take().is_some();
                    return Err(error);
                }
            }
        }
    }
}
