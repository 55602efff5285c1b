//! Topics: a row with the bounds, and a row for each message.

use async_trait::async_trait;
use tooz_core::driver::support::gap;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::Reply;
use crate::layout::TOPIC;
use crate::session::PostgresSession;

const PUBLISH: &str = "SELECT * FROM publish($1, $2, $3, $4)";
const READ: &str = "SELECT * FROM read_topic($1, $2, $3, $4)";

/// The most messages that one request reads.
const MAX_BATCH: usize = 1000;
/// A value of PostgreSQL and what surrounds it has at most 1 GiB.
const MAX_PAYLOAD: usize = 512 * 1024 * 1024;

#[async_trait]
impl Topics for PostgresSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        if payload.len() > MAX_PAYLOAD {
            let message = format!("a message has at most {MAX_PAYLOAD} bytes, but this one has {}", payload.len());
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        let (name, keep) = (topic.as_bytes(), i64::try_from(keep.max(1)).unwrap_or(i64::MAX));
        let reply = self.core.call(PUBLISH, &[&name, &payload, &keep]).await?;
        let mut more = reply.status() == "MORE";
        while more {
            // The message is published, whatever becomes of the retention: the next publisher goes on with it.
            let trimmed = self.core.call(PUBLISH, &[&name, &None::<&[u8]>, &keep]).await;
            more = trimmed.is_ok_and(|reply| reply.status() == "MORE");
        }
        let offset = reply.number(0, "place")?.ok_or_else(|| reply.unexpected())?;
        self.history.saw(offset);
        Ok(Offset(offset))
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let mut notifications = None;
        loop {
            let messages = messages(&self.read_topic(topic, after, limit).await?, after)?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            if let Some(mut notifications) = notifications.replace(self.core.watch(TOPIC, topic).await?) {
                // An error says that notifications may have been missed.
                notifications.recv().await.ok();
            }
        }
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.read_names(TOPIC, after, limit).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        bounds(&self.read_topic(topic, Offset(u64::MAX), 1).await?)
    }
}

impl PostgresSession {
    async fn read_topic(&self, topic: &Name, after: Offset, limit: usize) -> Result<Reply> {
        let seen = i64::try_from(after.0).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.clamp(1, MAX_BATCH)).unwrap_or(i64::MAX);
        let reply = self.core.call(READ, &[&topic.as_bytes(), &seen, &limit]).await?;
        self.history.saw(reply.number(0, "newest")?.unwrap_or_default());
        Ok(reply)
    }
}

fn bounds(reply: &Reply) -> Result<Bounds> {
    let offset = |column| Ok(Offset(reply.number(0, column)?.unwrap_or_default()));
    Ok(Bounds { trimmed: offset("trimmed")?, newest: offset("newest")? })
}

fn messages(reply: &Reply, after: Offset) -> Result<Vec<Message>> {
    let trimmed = bounds(reply)?.trimmed;
    if after < trimmed {
        return Err(gap(after, trimmed));
    }
    let message = |row| match reply.number(row, "place")? {
        Some(offset) => Ok(Some(Message { offset: Offset(offset), payload: reply.get(row, "payload")? })),
        None => Ok(None),
    };
    (0..reply.len()).filter_map(|row| message(row).transpose()).collect()
}
