//! Topics: one stream each, whose ids are numbers of the namespace's counter.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::script::{BOUNDS, PUBLISH, READ, Reply};
use crate::session::RedisSession;

/// The longest time without a look at the topic while a message is waited for.
const BACKUP: Duration = Duration::from_secs(30);
/// The most messages that one request reads.
const MAX_BATCH: usize = 1000;
/// What a Redis server takes in one piece, unless it was configured otherwise.
const MAX_PAYLOAD: usize = 512 * 1024 * 1024;

#[async_trait]
impl Topics for RedisSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        if payload.len() > MAX_PAYLOAD {
            let message = format!("a message has at most {MAX_PAYLOAD} bytes, but this one has {}", payload.len());
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        let keep = keep.max(1).to_string();
        let mut reply = self.run(&PUBLISH, &self.layout.topic(topic), &[payload, keep.as_bytes()]).await?;
        reply.natural().map(Offset)
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let key = self.layout.topic(topic);
        if let Some(messages) = self.read_now(&key, after, limit).await? {
            return Ok(messages);
        }
        let mut bell = self.feed.hear(&key).await?;
        loop {
            if let Some(messages) = self.read_now(&key, after, limit).await? {
                return Ok(messages);
            }
            // An elapsed timer and a bell that is gone both mean: look again.
            let _ = timeout(BACKUP, bell.changed()).await;
        }
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let mut reply = self.run(&BOUNDS, &self.layout.topic(topic), &[]).await?;
        Ok(Bounds { trimmed: Offset(reply.natural()?), newest: Offset(reply.natural()?) })
    }
}

impl RedisSession {
    /// The messages after `after`, or `None` if there is none yet.
    async fn read_now(&self, key: &str, after: Offset, limit: usize) -> Result<Option<Vec<Message>>> {
        let (offset, next) = (after.to_string(), after.0.saturating_add(1).to_string());
        let limit = limit.clamp(1, MAX_BATCH).to_string();
        let args = [self.id.as_bytes(), offset.as_bytes(), next.as_bytes(), limit.as_bytes()];
        let mut reply = self.run(&READ, key, &args).await?;
        match reply.status() {
            "GAP" => Err(Error::new(ErrorKind::Gap, "messages after this offset were removed by retention")
                .with_context("after", after)
                .with_context("removed up to", reply.natural()?)),
            "MESSAGES" => messages(reply).map(|messages| (!messages.is_empty()).then_some(messages)),
            _ => Err(reply.unexpected()),
        }
    }
}

fn messages(mut reply: Reply) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    while let Some((offset, payload)) = reply.pair()? {
        messages.push(Message { offset: Offset(offset), payload });
    }
    Ok(messages)
}
