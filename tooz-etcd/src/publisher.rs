//! Publishing by compare and retry.
//!
//! - One transaction compares the topic's bounds with those that the session knows, raises them, writes the messages and
//!   removes those beyond retention. If the bounds differ, another session was faster: the publisher takes the bounds that
//!   it read, waits for a moment that grows and is random, and tries again.
//! - The messages of one session for one topic do not compete: while a transaction is under way, the next messages wait
//!   and go out together (group commit).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tooz_core::driver::support::lock;
use tooz_core::driver::{Bounds, Nonce, Offset};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::{Client, KeyRange, Txn, TxnOp, absent, delete_range, get, has_value, put};
use crate::error::{corrupt, other_clients_came_between};
use crate::layout::{Layout, TopicKeys, bounds_value, parse_bounds};

/// The most messages in one transaction; etcd takes 128 operations.
const MAX_BATCH: usize = 50;
/// The most messages that one transaction removes, which matters after retention was shortened.
const MAX_TRIM: u64 = 100;
/// The most bytes in one transaction, well below the largest request that etcd takes; a larger message goes alone.
const MAX_BATCH_BYTES: usize = 256 << 10;
/// The limit of the random wait before the third attempt, which doubles with each attempt. The second attempt follows at
/// once, since the first one may not know the bounds at all.
const LEAST_BACK_OFF: Duration = Duration::from_millis(1);
const MAX_BACK_OFF: Duration = Duration::from_millis(32);

/// The messages of a session that are to be published.
#[derive(Debug)]
pub(crate) struct Publisher {
    client: Arc<Client>,
    layout: Layout,
    topics: Mutex<HashMap<Name, Arc<Queue>>>,
}

/// The messages for one topic.
#[derive(Debug, Default)]
struct Queue {
    messages: Mutex<VecDeque<Outgoing>>,
    /// The bounds that the session knows. The task that holds this lock sends.
    bounds: Arc<tokio::sync::Mutex<Bounds>>,
}

#[derive(Debug)]
struct Outgoing {
    payload: Vec<u8>,
    keep: u64,
    outcome: oneshot::Sender<Result<Offset>>,
}

impl Publisher {
    pub(crate) fn new(client: Arc<Client>, layout: Layout) -> Self {
        Self { client, layout, topics: Mutex::default() }
    }

    /// Publishes one message. A call that is dropped before the message was sent has not published it.
    pub(crate) async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let queue = lock(&self.topics).entry(topic.clone()).or_default().clone();
        let (sender, mut outcome) = oneshot::channel();
        lock(&queue.messages).push_back(Outgoing { payload: payload.to_vec(), keep, outcome: sender });
        let sent = async {
            tokio::select! {
                biased;
                sent = &mut outcome => return sent,
                bounds = queue.bounds.clone().lock_owned() => {
                    // In a task of its own, since a dropped call must not cancel the messages of others.
                    tokio::spawn(send_all(self.client.clone(), self.layout.topic(topic), queue.clone(), bounds));
                }
            }
            outcome.await
        };
        // One transaction that is under way, and the next one.
        match timeout(self.client.timeout * 2, sent).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(unavailable("the runtime that published has ended"))),
            Err(_) => Err(unavailable("too many messages wait to be published, or etcd is too slow")),
        }
    }
}

/// Sends until no message waits.
async fn send_all(client: Arc<Client>, keys: TopicKeys, queue: Arc<Queue>, mut known: OwnedMutexGuard<Bounds>) {
    while let Some(batch) = queue.next_batch() {
        let sent = send(&client, &keys, *known, &batch).await;
        if let Ok((_, bounds)) = sent {
            *known = bounds;
        }
        for (index, message) in (0..).zip(batch) {
            // It fails if the caller has dropped the call.
            let _ = message.outcome.send(sent.clone().map(|(first, _)| Offset(first + index)));
        }
    }
}

impl Queue {
    /// The messages of the next transaction, all with the same retention; `None` if there are none.
    fn next_batch(&self) -> Option<Vec<Outgoing>> {
        let mut messages = lock(&self.messages);
        messages.retain(|message| !message.outcome.is_closed());
        let first = messages.pop_front()?;
        let (keep, mut bytes) = (first.keep, first.payload.len());
        // One transaction cannot put a key and remove it.
        let most = MAX_BATCH.min(usize::try_from(keep).unwrap_or(usize::MAX));
        let mut batch = vec![first];
        while batch.len() < most
            && let Some(next) = messages.front()
            && next.keep == keep
            && bytes + next.payload.len() <= MAX_BATCH_BYTES
        {
            bytes += next.payload.len();
            batch.extend(messages.pop_front());
        }
        Some(batch)
    }
}

/// Publishes a batch and returns the offset of its first message and the new bounds.
async fn send(client: &Client, keys: &TopicKeys, mut known: Bounds, batch: &[Outgoing]) -> Result<(u64, Bounds)> {
    let deadline = Instant::now() + client.timeout;
    let mut back_off = Duration::ZERO;
    loop {
        let (first, after) = raised(known, batch).ok_or_else(|| corrupt(&keys.bounds()))?;
        let txn = Txn::new().when([match known.newest.0 {
            0 => absent(&keys.bounds()),
            _ => has_value(&keys.bounds(), bounds_value(known)),
        }]);
        let txn = txn.and_then(publication(keys, known, first, after, batch));
        let mut answer = client.txn(txn.or_else([get(KeyRange::key(keys.bounds()))])).await?;
        if answer.succeeded {
            return Ok((first, after));
        }
        known = parse_bounds(answer.next_read()?.first())?;
        if Instant::now() > deadline {
            return Err(other_clients_came_between());
        }
        // The operating system's random numbers; a fraction of the whole, so that two publishers part.
        sleep(back_off.mul_f64(f64::from(Nonce::random().0 as u16) / f64::from(u16::MAX))).await;
        back_off = (back_off * 2).clamp(LEAST_BACK_OFF, MAX_BACK_OFF);
    }
}

/// The offset of the batch's first message and the bounds after it, or `None` beyond the last offset.
fn raised(bounds: Bounds, batch: &[Outgoing]) -> Option<(u64, Bounds)> {
    let newest = bounds.newest.0.checked_add(batch.len() as u64)?;
    let kept_after = newest.saturating_sub(batch.first()?.keep);
    let trimmed = kept_after.clamp(bounds.trimmed.0, bounds.trimmed.0.saturating_add(MAX_TRIM));
    Some((bounds.newest.0 + 1, Bounds { newest: Offset(newest), trimmed: Offset(trimmed) }))
}

fn publication(keys: &TopicKeys, before: Bounds, first: u64, after: Bounds, batch: &[Outgoing]) -> Vec<TxnOp> {
    let mut operations = vec![put(&keys.bounds(), &bounds_value(after), None)];
    operations.extend((first..).zip(batch).map(|(offset, message)| put(&keys.message(offset), &message.payload, None)));
    if after.trimmed > before.trimmed {
        // Exactly the keys that exist, since etcd passes deleted ones until it is compacted.
        operations.push(delete_range(keys.messages(before.trimmed, after.trimmed)));
    }
    operations
}

fn unavailable(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
