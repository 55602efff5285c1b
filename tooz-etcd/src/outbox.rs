//! Publishing. Messages of one session for one topic go out together: while a transaction is on its way, those that
//! come wait for the next one. So publishers of one session never come in between each other, and share round trips.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tooz_core::driver::{Bounds, Offset};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::{Client, lock};
use crate::error::unexpected_answer;
use crate::layout::{Layout, TopicKeys};
use crate::topics::parse_bounds;

/// The most messages in one transaction: few enough that it can make several offers.
const MOST_AT_ONCE: usize = 32;
/// The operations of all offers together; etcd takes 128.
const MOST_OPERATIONS: usize = 120;
/// A publisher that met others offers to follow any of the next offsets, this many; the payloads are sent for each.
const OFFERS: usize = 8;
/// All payloads of a transaction together, well below the largest request that etcd takes; a larger one goes alone.
const MOST_BYTES: usize = 256 << 10;

/// The messages of a session that are to be published.
#[derive(Debug)]
pub(crate) struct Outbox {
    client: Arc<Client>,
    layout: Layout,
    topics: Mutex<HashMap<Name, Pending>>,
}

#[derive(Debug, Default)]
struct Pending {
    messages: VecDeque<Outgoing>,
    /// A task publishes, and will look at `messages` again.
    busy: bool,
    /// What the next message will most likely follow.
    known: Bounds,
}

#[derive(Debug)]
struct Outgoing {
    payload: Vec<u8>,
    keep: u64,
    outcome: oneshot::Sender<Result<Offset>>,
}

impl Outbox {
    pub(crate) fn new(client: Arc<Client>, layout: Layout) -> Arc<Self> {
        Arc::new(Self { client, layout, topics: Mutex::default() })
    }

    /// Publishes in the order of the first polls. Who drops this before the message was sent has not published it.
    pub(crate) async fn publish(self: &Arc<Self>, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        let (sender, outcome) = oneshot::channel();
        let message = Outgoing { payload: payload.to_vec(), keep, outcome: sender };
        let idle = {
            let mut topics = lock(&self.topics);
            let pending = topics.entry(topic.clone()).or_default();
            pending.messages.push_back(message);
            !std::mem::replace(&mut pending.busy, true)
        };
        if idle {
            tokio::spawn(self.clone().send_all(topic.clone()));
        }
        // A request of others before ours, and ours.
        match timeout(self.client.timeout() * 2, outcome).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(unavailable("the runtime that published has ended"))),
            Err(_) => Err(unavailable("too many messages wait in line, or etcd is too slow")),
        }
    }

    async fn send_all(self: Arc<Self>, topic: Name) {
        let mut end = End { outbox: &self, topic: &topic, regular: false };
        let keys = self.layout.topic(&topic);
        while let Some((batch, known)) = self.next_batch(&topic) {
            match self.send(&keys, known, &batch).await {
                Ok(bounds) => {
                    if let Some(pending) = lock(&self.topics).get_mut(&topic) {
                        pending.known = bounds;
                    }
                    let first = bounds.newest.0 + 1 - batch.len() as u64;
                    for (offset, message) in (first..).zip(batch) {
                        // Nobody waits for it any more.
                        let _ = message.outcome.send(Ok(Offset(offset)));
                    }
                }
                Err(error) => {
                    for message in batch {
                        let _ = message.outcome.send(Err(error.clone()));
                    }
                }
            }
        }
        end.regular = true;
    }

    /// What goes out next, which is never nothing, and what is known of the bounds.
    fn next_batch(&self, topic: &Name) -> Option<(Vec<Outgoing>, Bounds)> {
        let mut topics = lock(&self.topics);
        let pending = topics.get_mut(topic)?;
        pending.messages.retain(|message| !message.outcome.is_closed());
        let Some(first) = pending.messages.pop_front() else {
            pending.busy = false;
            return None;
        };
        let (keep, mut bytes) = (first.keep, first.payload.len());
        // One transaction cannot put a key and remove it.
        let most = MOST_AT_ONCE.min(usize::try_from(keep).unwrap_or(usize::MAX));
        let mut batch = vec![first];
        while batch.len() < most
            && let Some(next) = pending.messages.front()
            && next.keep == keep
            && bytes + next.payload.len() <= MOST_BYTES
        {
            bytes += next.payload.len();
            batch.extend(pending.messages.pop_front());
        }
        Some((batch, pending.known))
    }

    /// One transaction, and one more each time a publisher of another session came in between.
    async fn send(&self, keys: &TopicKeys, mut known: Bounds, batch: &[Outgoing]) -> Result<Bounds> {
        let deadline = Instant::now() + self.client.timeout();
        let bytes = batch.iter().map(|message| message.payload.len()).sum::<usize>().max(1);
        let mut offers = 1;
        loop {
            let answer = self.client.txn(offer(keys, known, offers, batch)).await?;
            match outcome(&answer, known, batch)? {
                Ok(bounds) => return Ok(bounds),
                Err(now) => known = now,
            }
            offers = OFFERS.min(MOST_BYTES / bytes).min(MOST_OPERATIONS / (batch.len() + 3)).max(1);
            if Instant::now() > deadline {
                return Err(unavailable("other publishers came in between again and again"));
            }
        }
    }
}

fn unavailable(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// Lets the next publisher start a task when this one ends, also if it ends with its runtime.
struct End<'a> {
    outbox: &'a Outbox,
    topic: &'a Name,
    /// There was nothing left to do, and the next task may have begun already.
    regular: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        if !self.regular
            && let Some(pending) = lock(&self.outbox.topics).get_mut(self.topic)
        {
            pending.busy = false;
            pending.messages.clear();
        }
    }
}

/// A transaction that publishes after the newest message if the bounds are `known`; else, from the second offer on, if
/// they are what a publisher before us with the same retention has made of them; and so forth. It reads them at last.
fn offer(keys: &TopicKeys, known: Bounds, offers: usize, batch: &[Outgoing]) -> Txn {
    let steps = std::iter::successors(Some(known), |bounds| Some(raised(*bounds, 1, keep_of(batch))));
    let steps: Vec<_> = steps.take(offers).collect();
    let mut otherwise = TxnOp::get(keys.bounds(), None);
    for before in steps.iter().rev() {
        let txn = Txn::new().when([bounds_are(keys, *before)]);
        let txn = txn.and_then(publication(keys, *before, batch)).or_else([otherwise]);
        otherwise = TxnOp::txn(txn);
    }
    Txn::new().and_then([otherwise])
}

fn publication(keys: &TopicKeys, before: Bounds, batch: &[Outgoing]) -> Vec<TxnOp> {
    let after = raised(before, batch.len(), keep_of(batch));
    let mut operations = vec![TxnOp::put(keys.bounds(), format!("{} {}", after.newest, after.trimmed), None)];
    let put = |(offset, message): (u64, &Outgoing)| TxnOp::put(keys.message(offset), &*message.payload, None);
    operations.extend((before.newest.0 + 1..).zip(batch).map(put));
    if after.trimmed > before.trimmed {
        // Exactly the keys that stand, since etcd steps over deleted ones until it is compacted.
        let end = keys.message(after.trimmed.0 + 1);
        let options = DeleteOptions::new().with_range(end);
        operations.push(TxnOp::delete(keys.message(before.trimmed.0 + 1), Some(options)));
    }
    operations
}

/// The retention that all messages of a batch have in common.
fn keep_of(batch: &[Outgoing]) -> u64 {
    batch.first().map_or(1, |message| message.keep)
}

/// The bounds after some more messages, no more than are kept.
fn raised(bounds: Bounds, count: usize, keep: u64) -> Bounds {
    let newest = bounds.newest.0 + count as u64;
    Bounds { newest: Offset(newest), trimmed: bounds.trimmed.max(Offset(newest.saturating_sub(keep))) }
}

fn bounds_are(keys: &TopicKeys, bounds: Bounds) -> Compare {
    match bounds.newest.0 {
        0 => Compare::create_revision(keys.bounds(), CompareOp::Equal, 0),
        newest => Compare::value(keys.bounds(), CompareOp::Equal, format!("{newest} {}", bounds.trimmed)),
    }
}

/// The bounds that we made, or those that somebody else did.
fn outcome(answer: &TxnResponse, known: Bounds, batch: &[Outgoing]) -> Result<Result<Bounds, Bounds>> {
    let mut before = known;
    let mut answer = answer.clone();
    loop {
        answer = match answer.op_responses().into_iter().next() {
            Some(TxnOpResponse::Txn(offered)) if offered.succeeded() => {
                return Ok(Ok(raised(before, batch.len(), keep_of(batch))));
            }
            Some(TxnOpResponse::Txn(offered)) => match offered.op_responses().into_iter().next() {
                Some(TxnOpResponse::Get(mut now)) => return parse_bounds(now.take_kvs().pop()).map(Err),
                _ => offered,
            },
            _ => return Err(unexpected_answer()),
        };
        before = raised(before, 1, keep_of(batch));
    }
}
