//! Topics: a key for each message, and one with the bounds, which every publisher compares and raises.
//!
//! Offsets count from 1 without holes. The bounds say which keys exist, so retention and readers name keys exactly.

use async_trait::async_trait;
use tooz_core::driver::support::gap;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{ErrorKind, Name, Result};

use crate::client::{KeyRange, KeyValue, Txn, get};
use crate::layout::{TopicKeys, parse_bounds};
use crate::session::EtcdSession;

/// The most messages in one answer, which may be as large as this many requests.
const MAX_READ: usize = 64;

#[async_trait]
impl Topics for EtcdSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let published = self.publisher.publish(topic, payload, keep.max(1)).await;
        published.map_err(|error| match error.kind() {
            ErrorKind::InvalidOption => error.with_context("bytes in the payload", payload.len()),
            _ => error,
        })
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let keys = self.layout.topic(topic);
        let watched = vec![KeyRange::key(keys.bounds())];
        self.watches.read_until(watched, || self.read_messages(&keys, after, limit)).await
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.read_names(&self.layout.topics(), after, limit).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let read = get(KeyRange::key(self.layout.topic(topic).bounds()));
        let mut answer = self.bulk.txn(Txn::new().and_then([read])).await?;
        parse_bounds(answer.next_read()?.first())
    }
}

impl EtcdSession {
    /// The messages after `after`, or `None` if there are none yet.
    async fn read_messages(&self, keys: &TopicKeys, after: Offset, limit: usize) -> Result<Option<Vec<Message>>> {
        let last = after.0.saturating_add(limit.clamp(1, MAX_READ) as u64);
        let reads = [get(KeyRange::key(keys.bounds())), get(keys.messages(after, Offset(last)))];
        let mut answer = self.bulk.txn(Txn::new().and_then(reads)).await?;
        let bounds = parse_bounds(answer.next_read()?.first())?;
        if after < bounds.trimmed {
            return Err(gap(after, bounds.trimmed));
        }
        let message = |stored: KeyValue| {
            let offset = keys.parse_offset(stored.key())?;
            Some(Message { offset, payload: stored.into_key_value().1 })
        };
        let messages: Vec<_> = answer.next_read()?.into_iter().filter_map(message).collect();
        Ok(Some(messages).filter(|messages| !messages.is_empty()))
    }
}
