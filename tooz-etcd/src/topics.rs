//! Topics: a key for each message, and one with the bounds, which every publisher compares and raises.
//!
//! Offsets count from 1 without holes. The bounds say which keys stand, so retention and readers name keys exactly.

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse, TxnResponse};
use tokio::time::Instant;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::lock;
use crate::error::{corrupt, unexpected_answer};
use crate::layout::{KeyRange, TopicKeys};
use crate::session::{EtcdSession, gets};
use crate::watch::Events;

/// The most messages in one answer, which may be as large as this many requests.
const MOST_AT_ONCE: usize = 64;
/// A publisher that met others offers to take any of the next offsets, this many; the payload is sent for each.
const OFFERS: usize = 8;
/// All offers together, well below the largest request that etcd takes.
const OFFERED_BYTES: usize = 256 << 10;

#[async_trait]
impl Topics for EtcdSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        self.check_open()?;
        let published = self.publish_until(topic, payload, keep.max(1)).await;
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
    async fn publish_until(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let deadline = Instant::now() + self.client.timeout();
        let keys = self.layout.topic(topic);
        let mut known = lock(&self.known_bounds).get(topic).copied().unwrap_or_default();
        let mut offers = 1;
        loop {
            let answer = self.client.txn(offer(&keys, known, offers, payload, keep)).await?;
            match outcome(&answer, known, keep)? {
                Ok(bounds) => {
                    lock(&self.known_bounds).insert(topic.clone(), bounds);
                    return Ok(bounds.newest);
                }
                Err(now) => known = now,
            }
            offers = OFFERS.min(OFFERED_BYTES / payload.len().max(1)).max(1);
            if Instant::now() > deadline {
                return Err(Error::new(ErrorKind::Unavailable, "other publishers came in between again and again"));
            }
        }
    }

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

/// A transaction that publishes after the newest message if the bounds are `known`; else, from the second offer on, if
/// they are what a publisher before us with the same retention has made of them; and so forth. It reads them at last.
fn offer(keys: &TopicKeys, known: Bounds, offers: usize, payload: &[u8], keep: u64) -> Txn {
    let steps = std::iter::successors(Some(known), |bounds| Some(next(*bounds, keep)));
    let steps: Vec<_> = steps.take(offers).collect();
    let mut otherwise = TxnOp::get(keys.bounds(), None);
    for before in steps.iter().rev() {
        let txn = Txn::new().when([bounds_are(keys, *before)]);
        let txn = txn.and_then(publication(keys, *before, payload, keep)).or_else([otherwise]);
        otherwise = TxnOp::txn(txn);
    }
    Txn::new().and_then([otherwise])
}

fn publication(keys: &TopicKeys, before: Bounds, payload: &[u8], keep: u64) -> Vec<TxnOp> {
    let after = next(before, keep);
    let mut operations = vec![
        TxnOp::put(keys.bounds(), format!("{} {}", after.newest, after.trimmed), None),
        TxnOp::put(keys.message(after.newest.0), payload, None),
    ];
    if after.trimmed > before.trimmed {
        // Exactly the keys that stand, since etcd steps over deleted ones until it is compacted.
        let end = keys.message(after.trimmed.0 + 1);
        let options = DeleteOptions::new().with_range(end);
        operations.push(TxnOp::delete(keys.message(before.trimmed.0 + 1), Some(options)));
    }
    operations
}

/// The bounds after one more message. The newest is always kept.
fn next(bounds: Bounds, keep: u64) -> Bounds {
    let newest = bounds.newest.0 + 1;
    Bounds { newest: Offset(newest), trimmed: bounds.trimmed.max(Offset(newest.saturating_sub(keep))) }
}

fn bounds_are(keys: &TopicKeys, bounds: Bounds) -> Compare {
    match bounds.newest.0 {
        0 => Compare::create_revision(keys.bounds(), CompareOp::Equal, 0),
        newest => Compare::value(keys.bounds(), CompareOp::Equal, format!("{newest} {}", bounds.trimmed)),
    }
}

/// The bounds that we made, or those that somebody else did.
fn outcome(answer: &TxnResponse, known: Bounds, keep: u64) -> Result<Result<Bounds, Bounds>> {
    let mut before = known;
    let mut answer = answer.clone();
    loop {
        answer = match answer.op_responses().into_iter().next() {
            Some(TxnOpResponse::Txn(offered)) if offered.succeeded() => return Ok(Ok(next(before, keep))),
            Some(TxnOpResponse::Txn(offered)) => match offered.op_responses().into_iter().next() {
                Some(TxnOpResponse::Get(mut now)) => return parse_bounds(now.take_kvs().pop()).map(Err),
                _ => offered,
            },
            _ => return Err(unexpected_answer()),
        };
        before = next(before, keep);
    }
}

fn parse_bounds(stored: Option<KeyValue>) -> Result<Bounds> {
    let Some(stored) = stored else { return Ok(Bounds::default()) };
    let parse = |text: &str| {
        let (newest, trimmed) = text.split_once(' ')?;
        Some(Bounds { newest: Offset(newest.parse().ok()?), trimmed: Offset(trimmed.parse().ok()?) })
    };
    std::str::from_utf8(stored.value()).ok().and_then(parse).ok_or_else(|| corrupt(stored.key()))
}
