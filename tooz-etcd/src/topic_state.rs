//! What a session keeps for its topics, and what the keys of a topic say. The head of topics.rs explains segments.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use tooz_core::driver::{Message, Offset};
use tooz_core::{Name, Result};

use crate::client::{KeyValue, Subscription};
use crate::layout::{parse_last, seq};

/// A segment is full with as many messages as the topic keeps, but within these limits: with few, publishers often meet a
/// full one, and with many, etcd reads much for each request of a reader that is behind.
const SEGMENT_MESSAGES: RangeInclusive<u64> = 64..=256;
/// A segment is also full if it has this many bytes, provided that its messages are as large as the last one.
const SEGMENT_BYTES: u64 = 8 << 20;

/// What a session keeps for its topics.
#[derive(Debug, Default)]
pub(crate) struct TopicState {
    /// The newest segment of each topic to which the session publishes, as far as it knows.
    pub(crate) newest: Mutex<HashMap<Name, Segment>>,
    /// How many messages the session has sent.
    pub(crate) sent: AtomicU64,
    /// The watch of the reader of each topic, between its calls.
    pub(crate) tails: Mutex<HashMap<Name, Tail>>,
}

/// A segment, as its key describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) newest: Offset,
    pub(crate) messages: u64,
}

/// The watch of a reader that has received all messages up to `position`.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) position: Offset,
    pub(crate) subscription: Subscription,
}

impl Tail {
    /// Waits for events, and returns the messages after the position. They may be none.
    pub(crate) async fn next(&mut self) -> Result<Vec<Message>> {
        let messages = self.subscription.events().await?.into_iter().map(message);
        Ok(messages.filter(|message| message.offset > self.position).collect())
    }
}

impl Segment {
    /// Whether the message after one with this payload belongs to the next segment.
    pub(crate) fn is_full(&self, payload: &[u8], keep: u64) -> bool {
        let most = keep.clamp(*SEGMENT_MESSAGES.start(), *SEGMENT_MESSAGES.end());
        self.messages >= most || self.messages.saturating_mul(payload.len() as u64) >= SEGMENT_BYTES
    }
}

pub(crate) fn segments(stored: Vec<KeyValue>) -> Vec<Segment> {
    let segment = |key: KeyValue| {
        let (number, messages) = (parse_last(key.key(), |digits| digits.parse().ok())?, key.version().unsigned_abs());
        Some(Segment { number, newest: Offset(key.mod_revision().unsigned_abs()), messages })
    };
    stored.into_iter().filter_map(segment).collect()
}

pub(crate) fn message(stored: KeyValue) -> Message {
    Message { offset: Offset(seq(&stored).0), payload: stored.into_key_value().1 }
}
