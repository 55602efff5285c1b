//! Topics: publish, and subscribe from any offset that is still kept.

use std::collections::VecDeque;

use futures_util::Stream;
use tracing::{Instrument, Span};

use crate::coordinator::Coordinator;
use crate::driver::{Bounds, Message, Offset, Topics};
use crate::live::Live;
use crate::{Error, ErrorKind, Name, Result, telemetry};

/// How many messages one request reads at most.
const BATCH: usize = 256;

/// Where a [`Subscription`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// After everything published before the call.
    Latest,
    /// At the oldest message that is kept.
    Earliest,
    /// After this message: resumes without loss or repetition where a reader stopped.
    After(Offset),
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
    name: Result<Name, Error>,
    keep: u64,
}

impl Topic {
    /// How many messages a topic keeps unless told otherwise.
    pub const DEFAULT_KEEP: u64 = 10_000;

    pub(crate) fn new(coordinator: Coordinator, name: &[u8]) -> Self {
        let name = Name::new(name).map_err(|error| error.with_context("what", "topic"));
        Self { coordinator, name, keep: Self::DEFAULT_KEEP }
    }

    /// The same topic, but publishing removes all but the newest `messages` (at least 1).
    #[must_use]
    pub fn keep(mut self, messages: u64) -> Self {
        self.keep = messages.max(1);
        self
    }

    /// Appends a message and returns its offset once the backend has it.
    ///
    /// Not repeated by itself: after `Unavailable`, and if the future is dropped, it may have been published or not.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`, `InvalidOption` if the payload is too large for the backend,
    /// `Unsupported` if the backend has no topics.
    pub async fn publish(&self, payload: &[u8]) -> Result<Offset> {
        let outcome = async {
            let (name, live) = (self.name()?, self.coordinator.live().await?);
            let offset = topics(&live)?.publish(name, payload, self.keep).await?;
            telemetry::published(self.coordinator.driver_name());
            Ok(offset)
        };
        outcome.instrument(self.span("publish")).await.map_err(|error| self.explain("publish", error))
    }

    /// Reads the messages from some point on.
    ///
    /// # Errors
    /// `Unavailable`, `SessionLost`, `InvalidName`, `Unsupported`.
    pub async fn subscribe(&self, start: StartAt) -> Result<Subscription> {
        let outcome = async {
            let live = self.coordinator.live().await?;
            topics(&live)?;
            Ok(match start {
                StartAt::After(offset) => offset,
                StartAt::Latest => self.bounds(&live).await?.newest,
                StartAt::Earliest => self.bounds(&live).await?.trimmed,
            })
        };
        let after =
            outcome.instrument(self.span("subscribe")).await.map_err(|error| self.explain("subscribe", error))?;
        Ok(Subscription { topic: self.clone(), after, read: VecDeque::new() })
    }

    async fn bounds(&self, live: &Live) -> Result<Bounds> {
        let name = self.name()?;
        live.retry(Some(self.coordinator.timeout()), async || topics(live)?.bounds(name).await).await
    }

    fn name(&self) -> Result<&Name> {
        self.name.as_ref().map_err(Error::clone)
    }

    fn span(&self, operation: &'static str) -> Span {
        let member = self.coordinator.member();
        match &self.name {
            Ok(topic) => tracing::debug_span!("tooz", operation, %member, %topic),
            Err(_) => tracing::debug_span!("tooz", operation, %member),
        }
    }

    fn explain(&self, operation: &'static str, error: Error) -> Error {
        let error = error.with_operation(operation);
        match &self.name {
            Ok(name) => error.with_context("topic", name),
            Err(_) => error,
        }
    }
}

fn topics(live: &Live) -> Result<&dyn Topics> {
    live.session.topics().ok_or_else(|| Error::new(ErrorKind::Unsupported, "the backend has no topics"))
}

/// The messages of a topic from some point on, each once and in order; see [`Topic::subscribe`].
#[derive(Debug)]
pub struct Subscription {
    topic: Topic,
    after: Offset,
    read: VecDeque<Message>,
}

impl Subscription {
    /// The next message; waits for it, through outages and losses of the session too. Cancel safe.
    ///
    /// # Errors
    /// `Gap` once if retention has removed messages that were not read yet; the next call goes on with the oldest one
    /// that is kept. `AuthFailed`, `SessionLost` once the coordinator was closed.
    pub async fn next(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.read.pop_front() {
                self.after = message.offset;
                return Ok(message);
            }
            match self.fetch().await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Gap => {
                    self.after = self.trimmed().await?;
                    return Err(self.topic.explain("next", error));
                }
                Err(error) => return Err(self.topic.explain("next", error)),
            }
        }
    }

    /// The offset of the last message returned: where [`StartAt::After`] resumes.
    pub fn position(&self) -> Offset {
        self.after
    }

    /// The same as a [`Stream`]. It goes on after a `Gap` and ends after any other error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Message>> + Send {
        futures_util::stream::unfold(Some(self), |subscription| async {
            let mut subscription = subscription?;
            let item = subscription.next().await;
            let goes_on = item.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Gap);
            Some((item, goes_on.then_some(subscription)))
        })
    }

    async fn fetch(&mut self) -> Result<()> {
        loop {
            let coordinator = &self.topic.coordinator;
            let live = match coordinator.live().await {
                Err(error) if error.is_retryable() => continue,
                live => live?,
            };
            let name = self.topic.name()?;
            match live.retry(None, async || topics(&live)?.read(name, self.after, BATCH).await).await {
                Ok(messages) => {
                    telemetry::received(coordinator.driver_name(), messages.len());
                    self.read.extend(messages);
                    return Ok(());
                }
                // The next session continues.
                Err(error) if error.is_session_lost() => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn trimmed(&self) -> Result<Offset> {
        let live = self.topic.coordinator.live().await?;
        Ok(self.topic.bounds(&live).await?.trimmed)
    }
}
