//! Topics: a key for each message, and one with the bounds, which every publisher compares and raises; see `outbox`.
//!
//! Offsets count from 1 without holes. The bounds say which keys stand, so retention and readers name keys exactly.

use async_trait::async_trait;
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp};
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::error::corrupt;
use crate::layout::{KeyRange, TopicKeys};
use crate::session::{EtcdSession, gets};
use crate::watch::Events;

/// The most messages in one answer, which may be as large as this many requests.
const MOST_AT_ONCE: usize = 64;

#[async_trait]
impl Topics for EtcdSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        self.check_open()?;
        let published = self.outbox.publish(topic, payload, keep.max(1)).await;
        published.map_err(|error| match error.kind() {
            ErrorKind::InvalidOption => error.with_context("bytes in the payload", payload.len()),
            _ => error,
        })
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        self.check_open()?;
        let keys = self.layout.topic(topic);
        let watched = vec![(KeyRange::key(keys.bounds()), Events::Puts)];
        let mut subscription = self.watches.kept(&watched);
        loop {
            if let Some(subscription) = &mut subscription {
                subscription.mark();
            }
            let messages = self.read_now(&keys, after, limit).await?;
            if !messages.is_empty() {
                self.watches.keep(subscription);
                return Ok(messages);
            }
            match &mut subscription {
                Some(subscription) => subscription.changed().await?,
                None => subscription = Some(self.watches.subscribe(watched.clone()).await?),
            }
        }
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        self.check_open()?;
        let look = TxnOp::get(self.layout.topic(topic).bounds(), None);
        let answer = self.client.txn(Txn::new().and_then([look])).await?;
        parse_bounds(gets(&answer).flatten().next())
    }
}

impl EtcdSession {
    async fn read_now(&self, keys: &TopicKeys, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let range = keys.messages_after(after.0, limit.clamp(1, MOST_AT_ONCE) as u64);
        let messages = TxnOp::get(range.start, Some(GetOptions::new().with_range(range.end)));
        let answer = self.client.txn(Txn::new().and_then([TxnOp::get(keys.bounds(), None), messages])).await?;
        let mut ranges = gets(&answer);
        let bounds = parse_bounds(ranges.next().unwrap_or_default().pop())?;
        if after < bounds.trimmed {
            return Err(Error::new(ErrorKind::Gap, "messages after this offset were removed by retention")
                .with_context("after", after)
                .with_context("removed up to", bounds.trimmed));
        }
        let stored = ranges.next().unwrap_or_default();
        let message = |stored: KeyValue| {
            let offset = keys.parse_offset(&stored)?;
            Ok(Message { offset, payload: stored.into_key_value().1 })
        };
        stored.into_iter().map(message).collect()
    }
}

pub(crate) fn parse_bounds(stored: Option<KeyValue>) -> Result<Bounds> {
    let Some(stored) = stored else { return Ok(Bounds::default()) };
    let parse = |text: &str| {
        let (newest, trimmed) = text.split_once(' ')?;
        Some(Bounds { newest: Offset(newest.parse().ok()?), trimmed: Offset(trimmed.parse().ok()?) })
    };
    std::str::from_utf8(stored.value()).ok().and_then(parse).ok_or_else(|| corrupt(stored.key()))
}
