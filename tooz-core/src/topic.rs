//! Topics: publishing messages, and subscribing from any offset that is still kept.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use crate::coordinator::{Coordinator, Names, PAGE, run_operation};
use crate::driver::{Bounds, Message, Offset, Session, Topics};
use crate::session::live::LiveSession;
use crate::session::topic_reader::{BATCH, TopicReader};
use crate::step::Step;
use crate::{Error, ErrorKind, Name, Result, telemetry};

/// Where a [`Subscription`] starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// After the newest message at the time of the call.
    Latest,
    /// At the oldest message that is kept.
    Earliest,
    /// After the message with this offset: a reader resumes there without loss or repetition.
    After(Offset),
}

impl Coordinator {
    /// The topic with this name: 1 to 512 bytes. Sends nothing; the first operation reports an invalid name.
    #[must_use]
    pub fn topic(&self, name: impl AsRef<[u8]>) -> Topic {
        let name = Name::new(name).map_err(|error| error.with_context("used as", "topic name"));
        Topic { coordinator: self.clone(), name, keep: Topic::DEFAULT_KEEP }
    }

    /// The names of all topics with a message, in pages; see [`Names`].
    pub fn topics(&self) -> Names {
        Names::new(self, "topics", |session, after| Box::pin(async move { topics(session)?.names(after, PAGE).await }))
    }
}

/// A bounded log of messages with one order for all readers. It exists from its first message on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tooz_core::Error> {
/// # let coordinator = tooz_core::connect("memory://topic-doc").await?;
/// use tooz_core::StartAt;
///
/// let topic = coordinator.topic("jobs");
/// let mut subscription = topic.subscribe(StartAt::Latest).await?;
/// topic.publish(b"hello").await?;
/// assert_eq!(subscription.next().await?.payload, b"hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Topic {
    coordinator: Coordinator,
    name: Result<Name>,
    keep: u64,
}

impl Topic {
    /// How many messages a topic keeps by default.
    pub const DEFAULT_KEEP: u64 = 10_000;

    /// The same topic with another retention: publishing removes all messages but the newest `messages` (at least 1).
    #[must_use]
    pub fn keep(mut self, messages: u64) -> Self {
        self.keep = messages.max(1);
        self
    }

    /// Appends a message and returns its offset once the backend has stored it.
    ///
    /// Not idempotent, and therefore never repeated: after `Unavailable`, or if you drop the future, the message may be
    /// published or not, but never twice.
    ///
    /// # Errors
    /// - `InvalidOption`: the payload is too large for the backend.
    /// - `Unsupported`: the backend has no topics.
    /// - `Unavailable`, `SessionLost`, `Closed`, `InvalidName`.
    pub async fn publish(&self, payload: &[u8]) -> Result<Offset> {
        let publish = async {
            let (name, live) = (self.name()?, self.coordinator.live().await?);
            let offset = topics(&**live.session())?.publish(name, payload, self.keep).await?;
            telemetry::published(self.coordinator.driver_name());
            Ok(offset)
        };
        self.run("publish", publish).await
    }

    /// Subscribes to the messages from `start` on.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Unsupported`.
    pub async fn subscribe(&self, start: StartAt) -> Result<Subscription> {
        let find_start = async {
            let live = self.coordinator.live().await?;
            let bounds = self.bounds(&live).await?;
            let (after, history) = match start {
                // No message of this history has the offset yet, so it belongs to an earlier one.
                StartAt::After(offset) if offset > bounds.newest => (offset, None),
                StartAt::After(offset) => (offset, Some(live.session().history())),
                StartAt::Latest => (bounds.newest, Some(live.session().history())),
                StartAt::Earliest => (bounds.trimmed, Some(live.session().history())),
            };
            Ok(Subscription::new(Fetcher { topic: self.clone(), after, history, reader: None }))
        };
        self.run("subscribe", find_start).await
    }

    /// Reads the newest message at this moment; `None` if there is none. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `Closed`, `InvalidName`, `Unsupported`.
    pub async fn newest(&self) -> Result<Option<Message>> {
        let read = async {
            let live = self.coordinator.live().await?;
            let newest = self.bounds(&live).await?.newest;
            let Some(before) = newest.0.checked_sub(1) else { return Ok(None) };
            let name = self.name()?;
            let messages = live.call(async |session| topics(session)?.read(name, Offset(before), BATCH).await).await?;
            Ok(messages.into_iter().next_back())
        };
        self.run("newest", read).await
    }

    async fn bounds(&self, live: &LiveSession) -> Result<Bounds> {
        let name = self.name()?;
        live.call(async |session| topics(session)?.bounds(name).await).await
    }

    fn name(&self) -> Result<&Name> {
        self.name.as_ref().map_err(Error::clone)
    }

    async fn run<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let object = self.name.as_ref().ok().map(|name| ("topic", name));
        run_operation(&self.coordinator, operation, object, work).await
    }
}

/// The messages of a topic, each once and in order; see [`Topic::subscribe`].
#[derive(Debug)]
#[must_use = "messages are received with `next`"]
pub struct Subscription {
    /// The offset of the message that `next` has returned last.
    position: Offset,
    /// Messages that were read and not yet returned.
    received: VecDeque<Message>,
    fetch: Step<Fetcher, Result<Vec<Message>>>,
    /// Whether the stream has ended, with an error.
    ended: bool,
}

/// What reads the messages.
#[derive(Debug)]
struct Fetcher {
    topic: Topic,
    /// The offset of the message that was read last.
    after: Offset,
    /// The history of the server to which `after` belongs, if it is known.
    history: Option<u64>,
    /// What reads for all subscribers of the session, since the first read.
    reader: Option<Arc<TopicReader>>,
}

impl Subscription {
    fn new(fetcher: Fetcher) -> Self {
        Self { position: fetcher.after, received: VecDeque::new(), fetch: Step::new(fetcher), ended: false }
    }

    /// Waits for the next message, through outages and losses of the session. Cancel safe.
    ///
    /// # Errors
    /// - `Gap`, once: retention has removed messages before this subscription read them, or the server was emptied or
    ///   restored from a backup. The next call continues with the oldest message that is kept.
    /// - `AuthFailed`; `Closed` once the coordinator is closed.
    pub async fn next(&mut self) -> Result<Message> {
        poll_fn(|context| self.poll_message(context)).await
    }

    /// The offset of the last message that `next` has returned. [`StartAt::After`] resumes there.
    pub fn position(&self) -> Offset {
        self.position
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Message>> {
        loop {
            if let Some(message) = self.received.pop_front() {
                self.position = message.offset;
                return Poll::Ready(Ok(message));
            }
            match ready!(self.fetch.poll(context, |fetcher| Box::pin(fetcher.next()))) {
                Ok(messages) => self.received.extend(messages),
                Err(error) => {
                    // After a gap, the fetcher has moved to the oldest message that is kept.
                    self.position = self.fetch.state().map_or(self.position, |fetcher| fetcher.after);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// The messages of [`Subscription::next`]. The stream continues after a `Gap` and ends after any other error.
impl Stream for Subscription {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let message = ready!(self.poll_message(context));
        self.ended = message.as_ref().is_err_and(|error| error.kind() != ErrorKind::Gap);
        Poll::Ready(Some(message))
    }
}

impl Fetcher {
    async fn next(mut self) -> (Self, Result<Vec<Message>>) {
        let topic = self.topic.clone();
        let fetched = topic.run("next", self.fetch_from_any_session()).await;
        (self, fetched)
    }

    async fn fetch_from_any_session(&mut self) -> Result<Vec<Message>> {
        loop {
            let live = match self.topic.coordinator.live().await {
                Err(error) if error.is_retryable() => continue,
                live => live?,
            };
            match self.fetch(&live).await {
                // The subscription continues with the next session.
                Err(error) if error.is_session_lost() => {}
                outcome => return outcome,
            }
        }
    }

    /// Waits for messages and reads a batch of them. After a gap, moves to the oldest message that is kept.
    async fn fetch(&mut self, live: &LiveSession) -> Result<Vec<Message>> {
        let history = Some(live.session().history());
        let read = if self.history == history { self.read_batch(live).await } else { Err(new_history(self.after)) };
        match read {
            Ok(messages) => {
                telemetry::received(self.topic.coordinator.driver_name(), messages.len());
                self.after = messages.last().map_or(self.after, |message| message.offset);
                Ok(messages)
            }
            Err(error) if error.kind() == ErrorKind::Gap => {
                self.after = self.oldest_kept(live).await?;
                self.history = history;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn read_batch(&mut self, live: &LiveSession) -> Result<Vec<Message>> {
        let (name, after) = (self.topic.name()?, self.after);
        // The reader is kept until the next read, so that the messages that it has read are not lost.
        let reader = self.reader.insert(live.reader(name, after));
        if let Some(messages) = live.wait(async |_| Ok(reader.next(after).await)).await? {
            return Ok(messages);
        }
        live.wait(async |session| topics(session)?.read(name, after, BATCH).await).await
    }

    /// The offset before the oldest message that is kept. An outage only delays it, as it delays a read.
    async fn oldest_kept(&self, live: &LiveSession) -> Result<Offset> {
        let name = self.topic.name()?;
        let bounds = live.wait(async |session| topics(session)?.bounds(name).await).await?;
        Ok(bounds.trimmed)
    }
}

fn new_history(after: Offset) -> Error {
    let message = "the server was emptied or restored from a backup, so messages after this offset may be lost; \
                   the subscription continues with the oldest message that is kept";
    Error::new(ErrorKind::Gap, message).with_context("after", after)
}

fn topics(session: &dyn Session) -> Result<&dyn Topics> {
    session.topics().ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            "this backend has no topics; choose one whose driver documentation lists them",
        )
    })
}
