//! The watch multiplexer: one task that carries all watches of a session over one stream.
//!
//! When the stream breaks, every watch fails and its subscriber has to subscribe again, which opens the next stream.

use std::collections::HashMap;
use std::sync::Arc;

use etcd_client::{
    Event, EventType, KeyValue, WatchFilterType, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream,
};
use tokio::sync::mpsc;
use tooz_core::driver::support::session_closed;
use tooz_core::{Error, ErrorKind, Result};

use super::connection::{Client, Connection};
use super::txn::KeyRange;
use crate::error::{canceled, from_etcd};

/// How many messages may wait for a subscription. With more it fails, and its subscriber has to read anew.
pub(super) const MAX_WAITING: usize = 1_000;

/// One change of a key.
#[derive(Debug)]
pub(crate) enum KeyEvent {
    Put(KeyValue),
    /// Carries the key and the revision of its removal.
    Deleted(KeyValue),
}

impl KeyEvent {
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Put(stored) | Self::Deleted(stored) => stored.key(),
        }
    }
}

/// Which events a watch reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    All,
    Puts,
    Deletions,
}

/// What a subscription receives.
#[derive(Debug)]
pub(super) enum Notice {
    /// One of its watches has begun.
    Begun,
    /// The events of one transaction come together.
    Events(Vec<KeyEvent>),
}

/// Where the notices of one subscription go.
pub(super) type Subscriber = mpsc::Sender<Result<Notice>>;

#[derive(Debug)]
pub(super) enum Command {
    Watch {
        id: i64,
        range: KeyRange,
        report: Report,
        subscriber: Subscriber,
    },
    Cancel(i64),
    /// A watch did not begin in time, so the stream is taken for broken.
    GiveUp,
    Close,
}

/// The task that owns the stream.
pub(super) struct WatchMux {
    client: Arc<Client>,
    watches: HashMap<i64, Subscriber>,
    stream: Option<Stream>,
}

struct Stream {
    connection: Connection,
    requests: WatchRequestSender,
    responses: WatchResponseStream,
}

impl WatchMux {
    /// Starts the task, which ends with [`Command::Close`] or when the last sender is dropped.
    pub(super) fn spawn(client: Arc<Client>) -> mpsc::UnboundedSender<Command> {
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(Self { client, watches: HashMap::new(), stream: None }.run(receiver));
        commands
    }

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
                None | Some(Command::Close) => return self.fail_all(&session_closed()),
                Some(command) => self.handle(command).await,
            }
        }
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Watch { id, range, report, subscriber } => {
                if subscriber.is_closed() {
                    return;
                }
                self.watches.insert(id, subscriber);
                let options = watch_options(id, &range, report);
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
                if self.watches.remove(&id).is_some()
                    && let Some(stream) = &mut self.stream
                    && stream.requests.cancel(id).await.is_err()
                {
                    self.broken("the stream takes no more requests");
                }
            }
            Command::GiveUp => self.broken("etcd did not begin a watch in time"),
            Command::Close => {}
        }
    }

    async fn open(&mut self, key: Vec<u8>, options: WatchOptions) {
        let limit = self.client.timeout;
        let opened = self.client.call(limit, |mut connection| async move {
            let stream = connection.watch.watch(key, Some(options)).await?;
            Ok((connection, stream.split()))
        });
        match opened.await {
            Ok((connection, (requests, responses))) => {
                self.stream = Some(Stream { connection, requests, responses });
            }
            Err(error) => self.fail_all(&error),
        }
    }

    fn dispatch(&mut self, response: &WatchResponse) {
        let id = response.watch_id();
        if response.canceled() {
            let error = canceled(response);
            match self.watches.remove(&id) {
                Some(subscriber) => fail(&subscriber, &error),
                // Newer servers name no watch when they refuse one.
                None if id < 0 => self.fail_all(&error),
                None => {}
            }
        } else if let Some(subscriber) = self.watches.get(&id)
            && !receive(subscriber, response)
        {
            self.watches.remove(&id);
        }
    }

    fn broken(&mut self, cause: impl Into<String>) {
        if let Some(stream) = self.stream.take() {
            self.client.drop_connection(&stream.connection);
        }
        self.fail_all(&Error::new(ErrorKind::Unavailable, "the watch stream broke").with_source(cause.into()));
    }

    fn fail_all(&mut self, error: &Error) {
        self.watches.drain().for_each(|(_, subscriber)| fail(&subscriber, error));
    }
}

/// Passes a response on, or returns `false` if too many wait already.
fn receive(subscriber: &Subscriber, response: &WatchResponse) -> bool {
    let events: Vec<_> = response.events().iter().filter_map(key_event).collect();
    let begun = response.created().then_some(Notice::Begun);
    let mut notices = begun.into_iter().chain((!events.is_empty()).then_some(Notice::Events(events)));
    notices.all(|notice| subscriber.try_send(Ok(notice)).is_ok())
}

fn fail(subscriber: &Subscriber, error: &Error) {
    // A full channel ends with an error, too.
    let _ = subscriber.try_send(Err(error.clone()));
}

fn key_event(event: &Event) -> Option<KeyEvent> {
    let key_value = event.kv()?.clone();
    Some(match event.event_type() {
        EventType::Put => KeyEvent::Put(key_value),
        EventType::Delete => KeyEvent::Deleted(key_value),
    })
}

/// No start revision, so that the watch is in step; see [`Watches`](super::Watches).
fn watch_options(id: i64, range: &KeyRange, report: Report) -> WatchOptions {
    let options = WatchOptions::new().with_watch_id(id).with_filters(match report {
        Report::All => Vec::new(),
        Report::Puts => vec![WatchFilterType::NoDelete],
        Report::Deletions => vec![WatchFilterType::NoPut],
    });
    if range.end.is_empty() { options } else { options.with_range(range.end.clone()) }
}
