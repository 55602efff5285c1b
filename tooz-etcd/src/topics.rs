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
    Filter, GetOptions, KeyRange, SortOrder, SortTarget, Txn, absent, delete_range, exists, get_key, is_empty, put,
};
use crate::error::{corrupt, other_clients_came_between};
use crate::layout::{TOPICS, TopicKeys, parse_trimmed, revision_of};
use crate::session::EtcdSession;
use crate::topic_state::{Segment, Tail, message, segments};

/// The most messages that one request reads. Its answer may be as large as this many requests.
const MAX_READ: usize = 64;

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
        let mut tail = match kept.filter(|tail| tail.position == after) {
            Some(tail) => tail,
            None => {
                let mut begun = None;
                loop {
                    let stored = self.read_segments(&keys, after, limit).await?;
                    if !stored.is_empty() {
                        return Ok(stored);
                    }
                    if let Some(subscription) = begun {
                        break Tail { position: after, subscription };
                    }
                    // Then read again, since a message may have come before the watch begins.
                    begun = Some(self.bulk_watches.subscribe(vec![keys.all_messages()], Some(Filter::NoDelete)).await?);
                }
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
        self.read_names(&self.layout.names(TOPICS), after, limit).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let (trimmed, segments) = self.read_log(&self.layout.topic(topic)).await?;
        Ok(Bounds { trimmed, newest: segments.last().map_or(Offset(0), |segment| segment.newest) })
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
            .or_else([keys.segments().get_keys()]);
        Ok(txn)
    }

    /// Removes the segments before those that have the newest `keep` messages.
    async fn trim(&self, keys: &TopicKeys, keep: u64) -> Result<()> {
        let ((_, segments), mut kept) = (self.read_log(keys).await?, 0u64);
        let enough = |segment: &Segment| {
            kept = kept.saturating_add(segment.messages);
            kept >= keep
        };
        let removed = &segments[..segments.iter().rposition(enough).unwrap_or(0)];
        let (Some(first), Some(last)) = (removed.first(), removed.last()) else { return Ok(()) };
        let operations = [
            delete_range(keys.segment_range(first.number, last.number)),
            delete_range(keys.messages(first.number, last.number)),
            put(&keys.trimmed(), last.newest.to_string().as_bytes(), None),
        ];
        // Unless another publisher has removed them meanwhile.
        let txn = Txn::new().when([exists(&keys.segment(last.number))]).and_then(operations);
        self.bulk.txn(txn).await.map(drop)
    }

    /// The greatest offset that retention has removed, and the segments in ascending order.
    async fn read_log(&self, keys: &TopicKeys) -> Result<(Offset, Vec<Segment>)> {
        let reads = [keys.segments().get_keys(), KeyRange::key(keys.trimmed()).get(GetOptions::new())];
        let mut answer = self.bulk.txn(Txn::new().and_then(reads)).await?;
        let segments = segments(answer.next_read()?);
        Ok((parse_trimmed(answer.next_read()?.first())?, segments))
    }

    /// The messages after `after` in the segment that has the first one of them.
    async fn read_segments(&self, keys: &TopicKeys, after: Offset, limit: usize) -> Result<Vec<Message>> {
        loop {
            let (trimmed, segments) = self.read_log(keys).await?;
            if after < trimmed {
                return Err(gap(after, trimmed));
            }
            let unread = segments.iter().find(|segment| segment.newest > after);
            let Some(&Segment { number, .. }) = unread else { return Ok(Vec::new()) };
            let first = GetOptions::new()
                .with_min_create_revision(revision_of(after).saturating_add(1))
                .with_sort(SortTarget::Create, SortOrder::Ascend)
                .with_limit(limit.clamp(1, MAX_READ) as i64);
            let read = keys.messages(number, number).get(first);
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
