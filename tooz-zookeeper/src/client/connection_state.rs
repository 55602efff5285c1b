//! The state of the connection and the watches that it carries. The backend writes it; every request reads it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::watches::Watches;
use crate::error::{Answer, session_lost, unreachable};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Disconnected,
    /// Connected, but nothing has been sent yet.
    New,
    Ready,
    /// The session has ended, for this reason.
    Ended(String),
}

/// The state of one session's connection.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    status: watch::Sender<Status>,
    pub(super) watches: Arc<Watches>,
}

impl Default for ConnectionState {
    fn default() -> Self {
        Self { status: watch::Sender::new(Status::Disconnected), watches: Arc::default() }
    }
}

impl ConnectionState {
    /// Records that the connection is lost.
    pub(super) fn set_disconnected(&self) {
        self.change(Status::Disconnected);
    }

    /// Records a new connection, which must be prepared before it is used.
    pub(super) fn set_new(&self) {
        self.change(Status::New);
    }

    /// Lets requests use the new connection, unless it is lost already. All watches fire, since events may have been missed.
    pub(super) fn set_ready(&self) {
        self.status.send_if_modified(|status| {
            let is_new = *status == Status::New;
            if is_new {
                *status = Status::Ready;
            }
            is_new
        });
        self.watches.fire_all();
    }

    /// Ends the session, if it has not ended: every request fails from now on. The first reason stays.
    pub(super) fn end(&self, reason: &str) {
        self.change(Status::Ended(reason.to_owned()));
        self.watches.fire_all();
    }

    fn change(&self, to: Status) {
        self.status.send_if_modified(|status| {
            let changes = !matches!(status, Status::Ended(_)) && *status != to;
            if changes {
                *status = to;
            }
            changes
        });
    }

    /// Fails if the session has ended.
    pub(super) fn check(&self) -> Answer<()> {
        match &*self.status.borrow() {
            Status::Ended(reason) => Err(session_lost(reason).into()),
            _ => Ok(()),
        }
    }

    /// Waits until requests may be sent.
    pub(super) async fn ready(&self) -> Answer<()> {
        // The common case needs no receiver.
        if *self.status.borrow() == Status::Ready {
            return Ok(());
        }
        self.reached(Status::Ready).await
    }

    /// Waits for the next connection that is not prepared.
    pub(super) async fn new_connection(&self) -> Answer<()> {
        self.reached(Status::New).await
    }

    /// Waits for the session's end and returns the reason.
    pub(super) async fn ended(&self) -> String {
        let mut statuses = self.status.subscribe();
        match statuses.wait_for(|status| matches!(status, Status::Ended(_))).await.as_deref() {
            Ok(Status::Ended(reason)) => reason.clone(),
            _ => "the session was dropped".to_owned(),
        }
    }

    /// Waits for an answer until the deadline, but not beyond the session's end.
    pub(super) async fn bounded<T>(&self, deadline: Instant, answer: impl Future<Output = Answer<T>>) -> Answer<T> {
        tokio::select! {
            biased;
            reason = self.ended() => Err(session_lost(&reason).into()),
            answer = answer => answer,
            () = sleep_until(deadline) => Err(unreachable("the server did not answer in time").into()),
        }
    }

    async fn reached(&self, wanted: Status) -> Answer<()> {
        let mut statuses = self.status.subscribe();
        // The sender lives as long as `self`.
        let _ = statuses.wait_for(|status| *status == wanted || matches!(status, Status::Ended(_))).await;
        self.check()
    }
}
