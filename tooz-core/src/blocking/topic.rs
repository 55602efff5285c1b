//! Topics of the blocking API.

use super::coordinator::Coordinator;
use super::runtime::Runtime;
use crate::{Message, Offset, Result, StartAt};

impl Coordinator {
    /// The topic with this name.
    #[must_use]
    pub fn topic(&self, name: impl AsRef<[u8]>) -> Topic {
        Topic { runtime: self.runtime.clone(), topic: self.inner().topic(name) }
    }
}

/// A bounded log of messages; see [`tooz_core::Topic`](crate::Topic).
#[derive(Clone, Debug)]
pub struct Topic {
    runtime: Runtime,
    topic: crate::Topic,
}

impl Topic {
    /// The same topic with another retention; see [`Topic::keep`](crate::Topic::keep).
    #[must_use]
    pub fn keep(self, messages: u64) -> Self {
        Self { topic: self.topic.keep(messages), runtime: self.runtime }
    }

    /// Appends a message and returns its offset.
    ///
    /// # Errors
    /// As [`Topic::publish`](crate::Topic::publish).
    pub fn publish(&self, payload: &[u8]) -> Result<Offset> {
        self.runtime.run(self.topic.publish(payload))
    }

    /// Subscribes to the messages from `start` on.
    ///
    /// # Errors
    /// As [`Topic::subscribe`](crate::Topic::subscribe).
    pub fn subscribe(&self, start: StartAt) -> Result<Subscription> {
        let subscription = self.runtime.run(self.topic.subscribe(start))?;
        Ok(Subscription { subscription, runtime: self.runtime.clone() })
    }
}

/// The messages of a topic, each once and in order; see [`tooz_core::Subscription`](crate::Subscription).
#[derive(Debug)]
#[must_use = "messages are received with `next`"]
pub struct Subscription {
    // Fields are dropped in this order: the runtime ends last.
    subscription: crate::Subscription,
    runtime: Runtime,
}

impl Subscription {
    /// Waits for the next message.
    ///
    /// # Errors
    /// As [`Subscription::next`](crate::Subscription::next).
    #[expect(clippy::should_implement_trait, reason = "as in the async API")]
    pub fn next(&mut self) -> Result<Message> {
        self.runtime.run(self.subscription.next())
    }

    /// The offset of the last message that `next` has returned.
    pub fn position(&self) -> Offset {
        self.subscription.position()
    }
}
