//! Topics with a fault.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use super::fault::FaultKind as F;
use super::session::BrokenSession;

impl BrokenSession {
    fn inner_topics(&self) -> Result<&dyn Topics> {
        self.inner.topics().ok_or_else(|| Error::new(ErrorKind::Unsupported, "the memory driver has no topics"))
    }
}

/// A read that waits for a message.
struct Reader<'a> {
    waiting: &'a AtomicUsize,
    is_first: bool,
}

impl<'a> Reader<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, is_first: waiting.fetch_add(1, Ordering::SeqCst) == 0 }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Topics for BrokenSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let topic = &self.name(topic);
        let keep = if self.fault == Some(F::KeepsTooFew) { keep.min(2) } else { keep };
        if self.fault == Some(F::RepeatsMessages) {
            self.inner_topics()?.publish(topic, payload, keep).await?;
        }
        let offset = self.inner_topics()?.publish(topic, payload, keep).await?;
        Ok(if self.fault == Some(F::ReturnsOldOffsets) { Offset(offset.0 - 1) } else { offset })
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let (topics, topic) = (self.inner_topics()?, &self.name(topic));
        let after = match self.fault {
            Some(F::HidesGaps) => after.max(topics.bounds(topic).await?.trimmed),
            _ => after,
        };
        let limit = if self.fault == Some(F::ReadsTooMany) { 1000 } else { limit };
        let has_to_wait = topics.bounds(topic).await?.newest <= after;
        let reader = has_to_wait.then(|| Reader::new(&self.readers));
        let mut messages = self.waiting(topics.read(topic, after, limit)).await?;
        if self.fault == Some(F::WakesOneReader) && reader.is_some_and(|reader| !reader.is_first) {
            return pending().await;
        }
        if self.fault == Some(F::SkipsMessages) {
            messages.drain(..messages.len() - 1);
        }
        Ok(messages)
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        match self.fault {
            Some(F::ForgetsBounds) => Ok(Bounds::default()),
            _ => self.inner_topics()?.bounds(topic).await,
        }
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.inner_topics()?.names(after, limit).await
    }
}
