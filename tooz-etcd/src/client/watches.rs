//! Watches. etcd reports the events of one watch in order.
//!
//! A watch begins at the present revision, because etcd serves one that starts in the past on a 100 ms tick only. So the
//! order is always: subscribe, read, and wait for an event if the read found nothing new.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use etcd_client::{KeyValue, WatchFilterType, WatchOptions};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tooz_core::driver::support::no_answer;
use tooz_core::{Error, ErrorKind, Result};

use super::connection::Client;
use super::txn::KeyRange;
use super::watch_mux::{Command, WatchMux};

/// How many messages may wait for a subscription. With more it fails, and its subscriber has to read anew.
const MAX_WAITING: usize = 1_000;

/// The watches of one session.
#[derive(Debug)]
pub(crate) struct Watches {
    client: Arc<Client>,
    commands: mpsc::UnboundedSender<Command>,
    last_id: AtomicI64,
}

/// Sees the events of what it watches, from a moment before [`Watches::subscribe`] returned.
#[derive(Debug)]
pub(crate) struct Subscription {
    ids: Range<i64>,
    events: mpsc::Receiver<Result<Vec<KeyValue>>>,
    commands: mpsc::UnboundedSender<Command>,
}

/// What a watch leaves out.
pub(crate) type Without = Option<WatchFilterType>;

impl Watches {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { commands: WatchMux::spawn(client.clone()), client, last_id: AtomicI64::new(0) }
    }

    /// Returns when every watch is in step with the present.
    pub(crate) async fn subscribe(&self, watched: Vec<KeyRange>, without: Without) -> Result<Subscription> {
        let count = watched.len() as i64;
        let first = self.last_id.fetch_add(count, Ordering::Relaxed) + 1;
        let (subscriber, events) = mpsc::channel(MAX_WAITING);
        let mut subscription = Subscription { ids: first..first + count, events, commands: self.commands.clone() };
        for (id, KeyRange { start, end }) in subscription.ids.clone().zip(watched) {
            // No start revision, so that the watch is in step.
            let options = WatchOptions::new().with_watch_id(id).with_range(end);
            let options = options.with_filters(without.into_iter().collect::<Vec<_>>());
            subscription.send(Command::Watch { id, start, options, subscriber: subscriber.clone() });
        }
        drop(subscriber);
        match timeout(self.client.timeout, subscription.begun()).await {
            Ok(begun) => begun.map(|()| subscription),
            Err(_) => {
                self.client.disconnect();
                Err(no_answer("etcd", self.client.timeout))
            }
        }
    }
}

impl Subscription {
    /// Waits until all watches have begun. Events up to then are older than the read that follows.
    async fn begun(&mut self) -> Result<()> {
        for _ in self.ids.clone() {
            while !self.next().await?.is_empty() {}
        }
        Ok(())
    }

    /// Waits for the next events, and returns all that have come. Those of one transaction come together. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` if the stream broke: subscribe anew, then read again.
    pub(crate) async fn events(&mut self) -> Result<Vec<KeyValue>> {
        let mut events = self.next().await?;
        while let Ok(Ok(more)) = self.events.try_recv() {
            events.extend(more);
        }
        Ok(events)
    }

    async fn next(&mut self) -> Result<Vec<KeyValue>> {
        let ended = || Err(Error::new(ErrorKind::Unavailable, "too many events wait to be read"));
        self.events.recv().await.unwrap_or_else(ended)
    }

    fn send(&self, command: Command) {
        // It fails if the runtime of the multiplexer has ended, and with it all subscriptions.
        let _ = self.commands.send(command);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.ids.clone().for_each(|id| self.send(Command::Cancel(id)));
    }
}
