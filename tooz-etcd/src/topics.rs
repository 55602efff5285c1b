//! Topics: a key for each message. The offset of a message is the revision at which etcd stored it.
//!
//! - etcd orders all writes, so publishers need not agree on an order. Each message is one transaction, and publishers do
//!   not compete.
//! - etcd finds keys by name, not by revision. So a topic consists of segments, whose messages have a common prefix.
//! - With each message, its publisher also writes the key of the segment. The metadata of that key then tell the offset of
//!   the newest message (the mod revision) and the number of messages (the version).
//! - If its segment is full, a publisher begins the next one with its next message. Every publication compares that its
//!   segment is the newest one, so no message is added to an earlier segment.
//! - Retention removes whole segments, when the next one begins.
//! - A reader at the end of the topic receives messages as events of a watch, without a request. A reader that is behind
//!   reads them from the segments.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::time::Instant;
use tooz_core::driver::support::{gap, lock};
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::{
    KeyRange, Report, Txn, absent, delete_range, exists, get, get_created_after, get_key, get_keys, is_empty, put,
};
use crate::error::{corrupt, other_clients_came_between};
use crate::layout::{TopicKeys, parse_trimmed, revision_of, trimmed_value};
use crate::session::EtcdSession;
use crate::topic_state::{Segment, Tail, message, segments};

/// The most messages that one request reads. Its answer may be as large as this many requests.
const MAX_READ: usize = 64;

/// What the keys of a topic tell without its messages.
#[derive(Debug)]
struct Log {
    trimmed: Offset,
    /// In ascending order.
    segments: Vec<Segment>,
}

#[async_trait]
impl Topics for EtcdSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let keys = self.layout.topic(topic);
        let deadline = Instant::now() + self.bulk.timeout;
        let mut newest = lock(&self.topics.newest).get(topic).copied();
        loop {
            let txn = self.publication(&keys, newest, payload, keep)?;
            let mut answer = self.bulk.txn(txn).await.map_err(|error| with_size(error, payload))?;
            newest = segments(answer.next_read()?).pop();
            if let Some(segment) = newest.filter(|_| answer.succeeded) {
                lock(&self.topics.newest).insert(topic.clone(), segment);
                if segment.messages == 1
                    && let Err(error) = self.trim(&keys, keep).await
                {
                    tracing::debug!(%error, "failed to remove old messages; the next segment's publisher will");
                }
                return Ok(Offset(answer.revision.unsigned_abs()));
            }
            if Instant::now() > deadline {
                return Err(other_clients_came_between());
            }
        }
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let keys = self.layout.topic(topic);
        let kept = lock(&self.topics.tails).remove(topic);
        let mut tail = match kept.filter(|tail| tail.position == after && tail.subscription.is_open()) {
            Some(tail) => tail,
            None => {
                let stored = self.read_segments(&keys, after, limit).await?;
                if !stored.is_empty() {
                    return Ok(stored);
                }
                let subscription = self.bulk_watches.subscribe(vec![keys.all_messages()], Report::Puts).await?;
                // Again, since a message may have come before the watch began.
                let stored = self.read_segments(&keys, after, limit).await?;
                if !stored.is_empty() {
                    return Ok(stored);
                }
                Tail { position: after, subscription }
            }
        };
        loop {
            let mut messages = tail.next().await?;
            let Some(last) = messages.last() else { continue };
            if messages.len() <= limit {
                tail.position = last.offset;
                lock(&self.topics.tails).insert(topic.clone(), tail);
            }
            messages.truncate(limit);
            return Ok(messages);
        }
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.read_names(&self.layout.topics(), after, limit).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let log = self.read_log(&self.layout.topic(topic)).await?;
        let newest = log.segments.last().map_or(Offset(0), |segment| segment.newest);
        Ok(Bounds { trimmed: log.trimmed, newest })
    }
}

impl EtcdSession {
    /// Adds a message to the newest segment, or to the next one if that is full. Reads the segment, or all of them if
    /// another one is the newest.
    fn publication(&self, keys: &TopicKeys, newest: Option<Segment>, payload: &[u8], keep: u64) -> Result<Txn> {
        let (number, compares) = match newest {
            None => (1, vec![is_empty(keys.segments())]),
            Some(newest) => {
                let next = newest.number.checked_add(1).ok_or_else(|| corrupt(&keys.segment(newest.number)))?;
                let is_newest = vec![exists(&keys.segment(newest.number)), absent(&keys.segment(next))];
                (if newest.is_full(payload, keep) { next } else { newest.number }, is_newest)
            }
        };
        let message = keys.message(number, self.lease.id, self.topics.sent.fetch_add(1, Ordering::Relaxed));
        let segment = keys.segment(number);
        let txn = Txn::new()
            .when(compares)
            .and_then([put(&message, payload, None), put(&segment, b"", None), get_key(&segment)])
            .or_else([get_keys(keys.segments())]);
        Ok(txn)
    }

    /// Removes the segments before those that have the newest `keep` messages.
    async fn trim(&self, keys: &TopicKeys, keep: u64) -> Result<()> {
        let (log, mut kept) = (self.read_log(keys).await?, 0u64);
        let enough = |segment: &Segment| {
            kept = kept.saturating_add(segment.messages);
            kept >= keep
        };
        let removed = &log.segments[..log.segments.iter().rposition(enough).unwrap_or(0)];
        let (Some(first), Some(last)) = (removed.first(), removed.last()) else { return Ok(()) };
        let operations = [
            delete_range(keys.segment_range(first.number, last.number)),
            delete_range(keys.messages(first.number, last.number)),
            put(&keys.trimmed(), &trimmed_value(last.newest), None),
        ];
        // Unless another publisher has removed them meanwhile.
        let txn = Txn::new().when([exists(&keys.segment(last.number))]).and_then(operations);
        self.bulk.txn(txn).await.map(drop)
    }

    async fn read_log(&self, keys: &TopicKeys) -> Result<Log> {
        let reads = [get_keys(keys.segments()), get(KeyRange::key(keys.trimmed()))];
        let mut answer = self.bulk.txn(Txn::new().and_then(reads)).await?;
        let segments = segments(answer.next_read()?);
        Ok(Log { segments, trimmed: parse_trimmed(answer.next_read()?.first())? })
    }

    /// The messages after `after` in the segment that has the first one of them.
    async fn read_segments(&self, keys: &TopicKeys, after: Offset, limit: usize) -> Result<Vec<Message>> {
        loop {
            let log = self.read_log(keys).await?;
            if after < log.trimmed {
                return Err(gap(after, log.trimmed));
            }
            let unread = log.segments.iter().find(|segment| segment.newest > after);
            let Some(Segment { number, .. }) = unread.copied() else { return Ok(Vec::new()) };
            let read = get_created_after(keys.messages(number, number), revision_of(after), limit.clamp(1, MAX_READ));
            let mut answer = self.bulk.txn(Txn::new().when([exists(&keys.segment(number))]).and_then([read])).await?;
            // Otherwise retention has removed the segment meanwhile.
            if answer.succeeded {
                return Ok(answer.next_read()?.into_iter().map(message).collect());
            }
        }
    }
}

fn with_size(error: Error, payload: &[u8]) -> Error {
    match error.kind() {
        ErrorKind::InvalidOption => error.with_context("bytes in the payload", payload.len()),
        _ => error,
    }
}
