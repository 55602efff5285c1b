//! Topics. Each is a stream whose ids are numbers of the namespace's sequence.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tooz_core::driver::support::gap;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::{BOUNDS, PUBLISH, READ, TRIM};
use crate::layout::ShardKey;
use crate::session::RedisSession;

/// The longest time without a look at the topic while a message is waited for.
const BACKUP: Duration = Duration::from_secs(30);
/// The most messages that one request reads.
const MAX_BATCH: usize = 1000;
/// The greatest string that a Redis server takes, unless it was configured otherwise.
const MAX_PAYLOAD: usize = 512 * 1024 * 1024;

#[async_trait]
impl Topics for RedisSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        if payload.len() > MAX_PAYLOAD {
            let message = format!("a message has at most {MAX_PAYLOAD} bytes, but this one has {}", payload.len());
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        let (key, keep) = (self.layout().topic(topic), keep.max(1).to_string());
        let mut reply = self.run(&PUBLISH, &key, &[payload, keep.as_bytes()]).await?;
        let offset = reply.natural()?;
        self.shard(key.shard).await?.history.saw(offset);
        if reply.bytes().is_some() {
            // The message is published, whatever becomes of the retention: the next publisher goes on with it.
            let _ = self.run(&TRIM, &key, &[keep.as_bytes()]).await;
        }
        Ok(Offset(offset))
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        self.end.until_end(self.read_when_there(&self.layout().topic(topic), after, limit)).await
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.read_names("topic", after, limit).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let mut reply = self.run(&BOUNDS, &self.layout().topic(topic), &[]).await?;
        Ok(Bounds { trimmed: Offset(reply.natural()?), newest: Offset(reply.natural()?) })
    }
}

impl RedisSession {
    /// The messages after `after`, as soon as there is one.
    async fn read_when_there(&self, key: &ShardKey, after: Offset, limit: usize) -> Result<Vec<Message>> {
        if let Some(messages) = self.read_now(key, after, limit).await? {
            return Ok(messages);
        }
        let mut receiver = self.client.subscriptions.subscribe(&key.name).await?;
        loop {
            if let Some(messages) = self.read_now(key, after, limit).await? {
                return Ok(messages);
            }
            // A timer that has run out, and a sender that is gone, both mean: look at the server.
            let _ = timeout(BACKUP, receiver.changed()).await;
        }
    }

    /// The messages after `after`, or `None` if there is none yet.
    async fn read_now(&self, key: &ShardKey, after: Offset, limit: usize) -> Result<Option<Vec<Message>>> {
        let (offset, next) = (after.to_string(), after.0.saturating_add(1).to_string());
        let limit = limit.clamp(1, MAX_BATCH).to_string();
        let args = [offset.as_bytes(), next.as_bytes(), limit.as_bytes()];
        let mut reply = self.run(&READ, key, &args).await?;
        match reply.status() {
            "GAP" => Err(gap(after, Offset(reply.natural()?))),
            "MESSAGES" => {
                let mut messages = Vec::new();
                while reply.has_more() {
                    let offset = Offset(reply.natural()?);
                    messages.push(Message { offset, payload: reply.bytes().unwrap_or_default() });
                }
                Ok((!messages.is_empty()).then_some(messages))
            }
            _ => Err(reply.unexpected()),
        }
    }
}
