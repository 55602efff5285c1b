//! Watches. etcd reports the events of one watch in order.
//!
//! A watch begins at the present revision, because etcd serves one that starts in the past on a 100 ms tick only. So the
//! order is always: subscribe, read, and wait for an event if the read found nothing new.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tooz_core::driver::support::session_closed;
use tooz_core::{Error, ErrorKind, Result};

use super::connection::Client;
use super::txn::KeyRange;
use super::watch_mux::{Command, KeyEvent, MAX_WAITING, Notice, Report, WatchMux};

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
    notices: mpsc::Receiver<Result<Notice>>,
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
        let (subscriber, notices) = mpsc::channel(MAX_WAITING);
        for (id, range) in (first_id..).zip(watched) {
            self.send(Command::Watch { id, range, report, subscriber: subscriber.clone() })?;
        }
        drop(subscriber);
        let mut subscription = Subscription { first_id, count, notices, commands: self.commands.clone() };
        match timeout(self.limit, subscription.begun()).await {
            Ok(begun) => begun.map(|()| subscription),
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
    /// Whether it may have events.
    pub(crate) fn is_open(&self) -> bool {
        !self.notices.is_closed()
    }

    /// Waits until all watches have begun. Events up to then are older than the read that follows.
    async fn begun(&mut self) -> Result<()> {
        for _ in 0..self.count {
            while let Notice::Events(_) = self.next().await? {}
        }
        Ok(())
    }

    /// Waits for the next events, and returns all that have come. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` if the stream broke: subscribe anew, then read again.
    pub(crate) async fn events(&mut self) -> Result<Vec<KeyEvent>> {
        loop {
            if let Notice::Events(mut events) = self.next().await? {
                while let Ok(Ok(Notice::Events(more))) = self.notices.try_recv() {
                    events.extend(more);
                }
                return Ok(events);
            }
        }
    }

    async fn next(&mut self) -> Result<Notice> {
        let ended = || match self.commands.is_closed() {
            true => session_closed(),
            false => Error::new(ErrorKind::Unavailable, "too many events wait to be read"),
        };
        self.notices.recv().await.unwrap_or_else(|| Err(ended()))
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
