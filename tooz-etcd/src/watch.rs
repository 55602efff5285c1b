//! All watches of a session over one stream. They are level-triggered: an event says "look again", never what happened.
//!
//! A watch begins "now", without a start revision, since etcd serves one that starts in the past on a 100 ms tick.
//! Who waits subscribes first, reads then, and waits for an event only if there was nothing to see.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_client::{Event, WatchFilterType, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tooz_core::{Error, ErrorKind, Result};

use crate::client::{Client, Connection, lock};
use crate::error::{canceled, from_etcd, session_closed};
use crate::layout::KeyRange;

/// For how long a subscription that was handed back waits for its next user.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Which events count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    All,
    Puts,
    Deletes,
}

/// What to watch.
pub(crate) type Watched = Vec<(KeyRange, Events)>;

/// The watches of one session.
#[derive(Debug)]
pub(crate) struct Watches {
    commands: mpsc::UnboundedSender<Command>,
    last_id: AtomicI64,
    limit: Duration,
    kept: Mutex<Vec<(Instant, Subscription)>>,
}

/// Sees the events of what it watches, from a moment before [`Watches::subscribe`] returned.
#[derive(Debug)]
pub(crate) struct Subscription {
    watched: Watched,
    first_id: i64,
    seen: u64,
    state: watch::Receiver<State>,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug, Default)]
struct State {
    created: usize,
    events: u64,
    /// What became of the keys that are told apart.
    gone: Vec<Gone>,
    failed: Option<Arc<Error>>,
}

/// A key that was told apart and had an event.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    key: Vec<u8>,
    /// When that was.
    pub(crate) revision: i64,
    /// What it held before.
    pub(crate) held: Vec<u8>,
}

#[derive(Debug)]
enum Command {
    Watch {
        id: i64,
        /// The keys whose events are told apart.
        apart: Vec<Vec<u8>>,
        range: KeyRange,
        events: Events,
        state: Arc<watch::Sender<State>>,
    },
    Cancel(i64),
    /// The stream does not answer.
    Doubt,
    Close,
}

impl Watches {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let limit = client.timeout();
        let hub = Hub { client, watchers: HashMap::new(), stream: None };
        tokio::spawn(hub.run(receiver));
        Self { commands, last_id: AtomicI64::new(0), limit, kept: Mutex::default() }
    }

    /// Returns when every watch is in step with the present.
    pub(crate) async fn subscribe(&self, watched: Watched) -> Result<Subscription> {
        self.subscribe_telling(watched, &[]).await
    }

    /// As [`subscribe`](Self::subscribe), but [`gone`](Subscription::gone) knows the keys `apart`. Those that are
    /// in one range are in order: etcd tells the events of one watch as they happened, and those of one transaction
    /// together, but promises nothing from one watch to another.
    pub(crate) async fn subscribe_telling(&self, watched: Watched, apart: &[&[u8]]) -> Result<Subscription> {
        let count = watched.len();
        let first_id = self.last_id.fetch_add(count as i64, Ordering::Relaxed) + 1;
        let (sender, state) = watch::channel(State::default());
        let sender = Arc::new(sender);
        for (id, (range, events)) in (first_id..).zip(watched.clone()) {
            let apart = apart.iter().map(|key| key.to_vec()).collect();
            self.send(Command::Watch { id, apart, range, events, state: sender.clone() })?;
        }
        drop(sender);
        let mut subscription = Subscription { watched, first_id, seen: 0, state, commands: self.commands.clone() };
        let created = subscription.wait(|state| state.created == count);
        match timeout(self.limit, created).await {
            Ok(created) => created.map(|()| subscription),
            Err(_) => {
                self.send(Command::Doubt)?;
                let message = format!("etcd did not begin a watch within {:?}", self.limit);
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
    }

    /// A subscription to the same that was kept lately and still works.
    pub(crate) fn kept(&self, watched: &Watched) -> Option<Subscription> {
        let mut kept = lock(&self.kept);
        kept.retain(|(since, subscription)| since.elapsed() < KEPT_FOR && !subscription.has_failed());
        let at = kept.iter().position(|(_, subscription)| subscription.watched == *watched)?;
        Some(kept.swap_remove(at).1)
    }

    /// Keeps a subscription for the next call, so that who asks again and again sets up one watch.
    pub(crate) fn keep(&self, subscription: Option<Subscription>) {
        if let Some(subscription) = subscription {
            lock(&self.kept).push((Instant::now(), subscription));
        }
    }

    /// Ends all subscriptions, present and future ones.
    pub(crate) fn close(&self) {
        lock(&self.kept).clear();
        // Closed already.
        let _ = self.commands.send(Command::Close);
    }

    fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).map_err(|_| session_closed())
    }
}

impl Subscription {
    /// Forgets events up to now: what is read from here on is as new as they are.
    pub(crate) fn mark(&mut self) {
        self.seen = self.state.borrow().events;
    }

    /// Waits for an event after the mark, and sets the mark there.
    ///
    /// # Errors
    /// `Unavailable` if the stream broke: subscribe anew, then look again.
    pub(crate) async fn changed(&mut self) -> Result<()> {
        let seen = self.seen;
        self.wait(|state| state.events != seen).await?;
        self.mark();
        Ok(())
    }

    /// The first event since the watch began of one of the keys that are told apart.
    pub(crate) fn gone(&self, key: &[u8]) -> Option<Gone> {
        self.state.borrow().gone.iter().find(|gone| gone.key == key).cloned()
    }

    fn has_failed(&self) -> bool {
        self.state.borrow().failed.is_some()
    }

    async fn wait(&mut self, ready: impl Fn(&State) -> bool + Send + Sync) -> Result<()> {
        let reached = self.state.wait_for(|state| state.failed.is_some() || ready(state)).await;
        let state = reached.map_err(|_| session_closed())?;
        state.failed.as_ref().map_or(Ok(()), |error| Err(Error::clone(error)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for id in (self.first_id..).take(self.watched.len()) {
            // It fails if the session is closed, and with it the watch.
            let _ = self.commands.send(Command::Cancel(id));
        }
    }
}

/// The task that owns the stream.
struct Hub {
    client: Arc<Client>,
    watchers: HashMap<i64, Watcher>,
    stream: Option<Stream>,
}

struct Watcher {
    apart: Vec<Vec<u8>>,
    state: Arc<watch::Sender<State>>,
}

struct Stream {
    connection: Connection,
    requests: WatchRequestSender,
    responses: WatchResponseStream,
}

impl Hub {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let command = match &mut self.stream {
                None => commands.recv().await,
                Some(stream) => tokio::select! {
                    command = commands.recv() => command,
                    response = stream.responses.message() => {
                        match response {
                            Ok(Some(response)) => self.dispatch(&response),
                            Ok(None) => self.broken("etcd has closed the stream"),
                            Err(error) => self.broken(from_etcd(&error, "of the watch").to_string()),
                        }
                        continue;
                    }
                    () = stream.connection.dropped() => {
                        self.broken("the endpoint did not answer another request");
                        continue;
                    }
                },
            };
            match command {
                None | Some(Command::Close) => return self.close(),
                Some(command) => self.obey(command).await,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Watch { id, apart, range, events, state } => {
                if state.is_closed() {
                    return;
                }
                let options = watch_options(id, &range, events, !apart.is_empty());
                self.watchers.insert(id, Watcher { apart, state });
                match &mut self.stream {
                    None => self.open(range.start, options).await,
                    Some(stream) => {
                        if stream.requests.watch(range.start, Some(options)).await.is_err() {
                            self.broken("the stream takes no more requests");
                        }
                    }
                }
            }
            Command::Cancel(id) => {
                if self.watchers.remove(&id).is_some()
                    && let Some(stream) = &mut self.stream
                    && stream.requests.cancel(id).await.is_err()
                {
                    self.broken("the stream takes no more requests");
                }
            }
            Command::Doubt => self.broken("etcd did not begin a watch in time"),
            Command::Close => {}
        }
    }

    async fn open(&mut self, key: Vec<u8>, options: WatchOptions) {
        let limit = self.client.timeout();
        let opened = self.client.call(limit, |mut connection| async move {
            let stream = connection.watch.watch(key, Some(options)).await?;
            Ok((connection, stream.split()))
        });
        match opened.await {
            Ok((connection, (requests, responses))) => {
                self.stream = Some(Stream { connection, requests, responses });
            }
            Err(error) => self.fail_all(error),
        }
    }

    fn dispatch(&mut self, response: &WatchResponse) {
        let id = response.watch_id();
        if response.canceled() {
            let error = canceled(response);
            match self.watchers.remove(&id) {
                Some(watcher) => fail(&watcher.state, &Arc::new(error)),
                // Newer servers name no watch when they refuse one.
                None if id < 0 => self.fail_all(error),
                None => {}
            }
            return;
        }
        if let Some(Watcher { apart, state }) = self.watchers.get(&id) {
            let told = |event: &Event| {
                let stored = event.kv().filter(|stored| apart.iter().any(|apart| apart == stored.key()))?;
                let held = event.prev_kv().map(|before| before.value().to_vec()).unwrap_or_default();
                Some(Gone { key: stored.key().to_vec(), revision: stored.mod_revision(), held })
            };
            let gone = response.events().iter().filter_map(told);
            // All at once: who wakes must see the events of one transaction together.
            state.send_modify(|state| {
                state.created += usize::from(response.created());
                state.events += u64::from(!response.events().is_empty());
                state.gone.extend(gone);
            });
        }
    }

    fn broken(&mut self, cause: impl Into<String>) {
        if let Some(stream) = self.stream.take() {
            self.client.drop_connection(&stream.connection);
        }
        let error = Error::new(ErrorKind::Unavailable, "the watch stream broke").with_source(cause.into());
        self.fail_all(error);
    }

    fn fail_all(&mut self, error: Error) {
        let error = Arc::new(error);
        self.watchers.drain().for_each(|(_, watcher)| fail(&watcher.state, &error));
    }

    fn close(mut self) {
        self.fail_all(session_closed());
    }
}

fn fail(state: &watch::Sender<State>, error: &Arc<Error>) {
    state.send_modify(|state| state.failed = Some(error.clone()));
}

fn watch_options(id: i64, range: &KeyRange, events: Events, with_values: bool) -> WatchOptions {
    let mut options = WatchOptions::new().with_watch_id(id);
    if with_values {
        options = options.with_prev_key();
    }
    if !range.end.is_empty() {
        options = options.with_range(range.end.clone());
    }
    match events {
        Events::All => options,
        Events::Puts => options.with_filters([WatchFilterType::NoDelete]),
        Events::Deletes => options.with_filters([WatchFilterType::NoPut]),
    }
}
