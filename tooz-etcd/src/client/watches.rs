//! Watches. etcd reports the events of one watch in order.
//!
//! A watch begins at the present revision, because etcd serves one that starts in the past on a 100 ms tick only. So the
//! order is always: subscribe, read, and wait for an event if the read found nothing new.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tooz_core::driver::support::session_closed;
use tooz_core::{Error, ErrorKind, Result};

use super::connection::Client;
use super::txn::KeyRange;
use super::watch_mux::{Command, KeyEvent, MAX_WAITING, Report, State, Subscriber, WatchMux};

/// The watches of one session.
#[derive(Debug)]
pub(crate) struct Watches {
    commands: mpsc::UnboundedSender<Command>,
    last_id: AtomicI64,
    limit: Duration,
}

/// Sees the events of what it watches, from a moment before [`Watches::subscribe`] returned.
#[derive(Debug)]
pub(crate) struct Subscription {
    first_id: i64,
    /// How many watches it has.
    count: usize,
    state: watch::Receiver<State>,
    events: mpsc::Receiver<Vec<KeyEvent>>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Watches {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        let limit = client.timeout;
        Self { commands: WatchMux::spawn(client), last_id: AtomicI64::new(0), limit }
    }

    /// Returns when every watch is in step with the present.
    pub(crate) async fn subscribe(&self, watched: Vec<KeyRange>, report: Report) -> Result<Subscription> {
        let count = watched.len();
        let first_id = self.last_id.fetch_add(count as i64, Ordering::Relaxed) + 1;
        let ((created, mut state), (sender, events)) = (watch::channel(State::default()), mpsc::channel(MAX_WAITING));
        let subscriber = Arc::new(Subscriber { state: created, events: sender });
        for (id, range) in (first_id..).zip(watched) {
            self.send(Command::Watch { id, range, report, subscriber: subscriber.clone() })?;
        }
        drop(subscriber);
        let is_begun = |state: &State| state.failed.is_some() || state.created == count;
        let begun = timeout(self.limit, state.wait_for(is_begun)).await.map(|begun| begun.is_ok());
        let subscription = Subscription { first_id, count, state, events, commands: self.commands.clone() };
        match begun {
            Ok(is_open) if is_open && !subscription.has_failed() => Ok(subscription),
            Ok(_) => Err(subscription.failure()),
            Err(_) => {
                self.send(Command::GiveUp)?;
                let message = format!("etcd did not begin a watch within {:?}", self.limit);
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
    }

    /// Ends all subscriptions, present and future ones.
    pub(crate) fn close(&self) {
        // It fails if the session was closed before.
        let _ = self.commands.send(Command::Close);
    }

    fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).map_err(|_| session_closed())
    }
}

impl Subscription {
    /// Waits for the next events, and returns all that have come. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` if the stream broke: subscribe anew, then read again.
    pub(crate) async fn events(&mut self) -> Result<Vec<KeyEvent>> {
        match self.events.recv().await.filter(|_| !self.has_failed()) {
            Some(mut events) => {
                while let Ok(more) = self.events.try_recv() {
                    events.extend(more);
                }
                Ok(events)
            }
            None => Err(self.failure()),
        }
    }

    fn failure(&self) -> Error {
        self.state.borrow().failed.clone().unwrap_or_else(session_closed)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.state.borrow().failed.is_some()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for id in (self.first_id..).take(self.count) {
            // It fails if the session is closed, and with it the watch.
            let _ = self.commands.send(Command::Cancel(id));
        }
    }
}
