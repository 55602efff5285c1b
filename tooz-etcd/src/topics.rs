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

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tooz_core::driver::support::{gap, lock};
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::{
    KeyEvent, KeyRange, KeyValue, Report, Subscription, Txn, absent, delete_range, exists, get, get_created_after,
    get_key, get_keys, is_empty, put,
};
use crate::error::{corrupt, other_clients_came_between};
use crate::layout::{TopicKeys, offset, parse_trimmed, revision_of, trimmed_value};
use crate::session::EtcdSession;

/// The most messages that one request reads. Its answer may be as large as this many requests.
const MAX_READ: usize = 64;
/// How many messages a full segment has. For each request of a reader that is behind, etcd reads a segment.
const SEGMENT_MESSAGES: u64 = 256;
/// A segment is also full if it has this many bytes, provided that its messages are as large as the last one.
const SEGMENT_BYTES: u64 = 8 << 20;
/// How long a watch is kept for the next call of a reader.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a session keeps for its topics.
#[derive(Debug, Default)]
pub(crate) struct TopicState {
    /// The newest segment of each topic to which the session publishes, as far as it knows.
    newest: Mutex<HashMap<Name, Segment>>,
    /// How many messages the session has sent.
    sent: AtomicU64,
    tails: Mutex<Vec<Tail>>,
}

/// A segment, as its key describes it.
#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    newest: Offset,
    messages: u64,
}

/// What the keys of a topic tell without its messages.
#[derive(Debug)]
struct Log {
    trimmed: Offset,
    /// In ascending order.
    segments: Vec<Segment>,
}

/// The watch of a reader that has received all messages up to `position`.
#[derive(Debug)]
struct Tail {
    topic: Name,
    position: Offset,
    subscription: Subscription,
    used: Instant,
}

#[async_trait]
impl Topics for EtcdSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let keys = self.layout.topic(topic);
        let deadline = Instant::now() + self.bulk.timeout;
        let mut newest = lock(&self.topics.newest).get(topic).copied();
        loop {
            let txn = self.publication(&keys, newest, payload)?;
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
        let (keys, mut messages) = (self.layout.topic(topic), Vec::new());
        let mut tail = match self.topics.take_tail(topic, after) {
            Some(tail) => tail,
            None => {
                let stored = self.read_segments(&keys, after, limit).await?;
                if !stored.is_empty() {
                    return Ok(stored);
                }
                let subscription = self.bulk_watches.subscribe(vec![keys.all_messages()], Report::Puts).await?;
                // Again, since a message may have come before the watch began.
                messages = self.read_segments(&keys, after, limit).await?;
                Tail { topic: topic.clone(), position: after, subscription, used: Instant::now() }
            }
        };
        let mut has_all = messages.len() < limit.min(MAX_READ);
        while messages.is_empty() {
            messages = tail.next().await?;
            has_all = messages.len() <= limit;
        }
        messages.truncate(limit);
        if has_all && let Some(last) = messages.last() {
            lock(&self.topics.tails).push(Tail { position: last.offset, used: Instant::now(), ..tail });
        }
        Ok(messages)
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
    fn publication(&self, keys: &TopicKeys, newest: Option<Segment>, payload: &[u8]) -> Result<Txn> {
        let (number, compares) = match newest {
            None => (1, vec![is_empty(keys.segments())]),
            Some(newest) => {
                let next = newest.number.checked_add(1).ok_or_else(|| corrupt(&keys.segment(newest.number)))?;
                let is_newest = vec![exists(&keys.segment(newest.number)), absent(&keys.segment(next))];
                (if newest.is_full(payload) { next } else { newest.number }, is_newest)
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

impl TopicState {
    fn take_tail(&self, topic: &Name, position: Offset) -> Option<Tail> {
        let mut tails = lock(&self.tails);
        tails.retain(|tail| tail.used.elapsed() < IDLE_TIMEOUT && !tail.subscription.has_failed());
        let at = tails.iter().position(|tail| (&tail.topic, tail.position) == (topic, position))?;
        Some(tails.swap_remove(at))
    }

    /// Ends the watches that are kept.
    pub(crate) fn close(&self) {
        lock(&self.tails).clear();
    }
}

impl Tail {
    /// Waits for events, and returns the messages after the position. They may be none.
    async fn next(&mut self) -> Result<Vec<Message>> {
        let events = self.subscription.events().await?.into_iter();
        let messages = events.filter_map(|event| match event {
            KeyEvent::Put(stored) => Some(message(stored)),
            KeyEvent::Deleted(_) => None,
        });
        Ok(messages.filter(|message| message.offset > self.position).collect())
    }
}

impl Segment {
    /// Whether the message after one with this payload belongs to the next segment.
    fn is_full(&self, payload: &[u8]) -> bool {
        self.messages >= SEGMENT_MESSAGES || self.messages.saturating_mul(payload.len() as u64) >= SEGMENT_BYTES
    }
}

fn segments(stored: Vec<KeyValue>) -> Vec<Segment> {
    let segment = |key: KeyValue| {
        let (number, messages) = (TopicKeys::parse_segment(key.key())?, key.version().unsigned_abs());
        Some(Segment { number, newest: Offset(key.mod_revision().unsigned_abs()), messages })
    };
    stored.into_iter().filter_map(segment).collect()
}

fn message(stored: KeyValue) -> Message {
    Message { offset: offset(&stored), payload: stored.into_key_value().1 }
}

fn with_size(error: Error, payload: &[u8]) -> Error {
    match error.kind() {
        ErrorKind::InvalidOption => error.with_context("bytes in the payload", payload.len()),
        _ => error,
    }
}
