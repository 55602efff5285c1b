//! Reads one topic for all its subscribers in one session, so that each message is received once, however many wait.
//!
//! - One task reads on from the position of the subscriber that is furthest ahead, and only while that subscriber waits.
//!   So a topic costs nothing while its subscribers do not ask for messages.
//! - The task publishes the latest messages through one watch channel, and each subscriber takes those after its position.
//! - A subscriber whose next message is not among them reads by itself, until it has caught up.
//! - The task repeats a read while the backend is not available. Any other error ends it. The waiting subscribers then
//!   read by themselves, since the error may not concern all of them, and the next subscriber starts a new task.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::liveness::Liveness;
use super::retry::retry;
use super::shared_tasks::SharedTask;
use crate::Name;
use crate::driver::{Message, Offset, Session};

/// How many messages one request reads, and how many are kept for subscribers that are a little behind.
pub(crate) const BATCH: usize = 256;

/// How many bytes are kept at most.
const BYTES_KEPT: usize = 1 << 20;

/// The shared reader of one topic. Its task ends with the session, or when the last subscriber drops the reader.
#[derive(Debug)]
pub(crate) struct TopicReader {
    /// The position of the waiting subscriber that is furthest ahead.
    wanted: watch::Sender<Offset>,
    latest: watch::Receiver<Latest>,
}

/// The messages that were read last: all those with `start < offset <= newest`.
#[derive(Debug)]
struct Latest {
    messages: VecDeque<Message>,
    bytes: usize,
    start: Offset,
    newest: Offset,
}

impl TopicReader {
    /// Starts the task in the runtime of the session, since the runtimes of subscribers may end earlier.
    pub(crate) fn start(
        runtime: &Handle,
        session: Arc<dyn Session>,
        liveness: Arc<Liveness>,
        topic: Name,
        after: Offset,
    ) -> Self {
        let nothing = Latest { messages: VecDeque::new(), bytes: 0, start: after, newest: after };
        let (publisher, latest) = watch::channel(nothing);
        let (wanted, requests) = watch::channel(after);
        let task = ReaderTask { session, liveness, topic, requests, publisher };
        runtime.spawn(task.liveness.process().run(task.run()));
        Self { wanted, latest }
    }

    /// Waits for messages after `after`, and returns at most [`BATCH`] of them; `None` if the caller must read them by
    /// itself. Cancel safe.
    pub(crate) async fn next(&self, after: Offset) -> Option<Vec<Message>> {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, after.max(*wanted)) < after);
        let mut latest = self.latest.clone();
        let latest = latest.wait_for(|latest| latest.newest > after).await.ok()?;
        latest.after(after)
    }
}

impl SharedTask for TopicReader {
    fn is_over(&self) -> bool {
        self.latest.has_changed().is_err()
    }
}

impl Latest {
    fn after(&self, after: Offset) -> Option<Vec<Message>> {
        let first = self.messages.partition_point(|message| message.offset <= after);
        (after >= self.start).then(|| self.messages.range(first..).cloned().collect())
    }

    /// Adds the messages that were read after `after`.
    fn extend(&mut self, after: Offset, messages: Vec<Message>) {
        if after > self.newest {
            *self = Self { messages: VecDeque::new(), bytes: 0, start: after, newest: after };
        }
        for message in messages {
            self.newest = message.offset;
            self.bytes += message.payload.len();
            self.messages.push_back(message);
        }
        while (self.messages.len() > BATCH || self.bytes > BYTES_KEPT)
            && let Some(oldest) = self.messages.pop_front()
        {
            self.start = oldest.offset;
            self.bytes -= oldest.payload.len();
        }
    }
}

/// The task that reads.
struct ReaderTask {
    session: Arc<dyn Session>,
    liveness: Arc<Liveness>,
    topic: Name,
    requests: watch::Receiver<Offset>,
    publisher: watch::Sender<Latest>,
}

impl ReaderTask {
    async fn run(self) {
        tokio::select! {
            biased;
            () = self.publisher.closed() => {}
            () = self.read() => {}
        }
    }

    /// Reads until an error ends it.
    async fn read(&self) {
        let (Some(topics), mut requests) = (self.session.topics(), self.requests.clone()) else { return };
        loop {
            let newest = self.publisher.borrow().newest;
            let Ok(after) = requests.wait_for(|wanted| *wanted >= newest).await.map(|wanted| *wanted) else { return };
            let read = retry(&self.liveness, None, || topics.read(&self.topic, after, BATCH)).await.result;
            let Ok(messages) = read else { return };
            self.publisher.send_modify(|latest| latest.extend(after, messages));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::{join_all, try_join_all};
    use tokio::time::{sleep, timeout};

    use crate::{Coordinator, Result, StartAt, Subscription};

    const MESSAGES: u64 = 1_000;

    async fn topic(server: &str) -> Result<crate::Topic> {
        Ok(Coordinator::builder(format!("memory://{server}")).member("a").connect().await?.topic("t"))
    }

    async fn payloads(subscription: &mut Subscription, count: usize) -> Result<Vec<Vec<u8>>> {
        let mut payloads = Vec::new();
        while payloads.len() < count {
            payloads.push(subscription.next().await?.payload);
        }
        Ok(payloads)
    }

    fn numbers(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
        numbers.map(|number| number.to_string().into_bytes()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn subscribers_at_any_position_receive_each_message_once_and_in_order() -> Result<()> {
        let topic = topic("positions").await?;
        for payload in numbers(0..MESSAGES) {
            topic.publish(&payload).await?;
        }
        let mut early = topic.subscribe(StartAt::Earliest).await?;
        let mut late = try_join_all((0..3).map(|_| topic.subscribe(StartAt::Latest))).await?;
        let publishing = async {
            for payload in numbers(MESSAGES..2 * MESSAGES) {
                topic.publish(&payload).await?;
            }
            Ok(())
        };
        let all = payloads(&mut early, 2 * MESSAGES as usize);
        let half = join_all(late.iter_mut().map(|late| payloads(late, MESSAGES as usize)));
        let (published, all, half): (Result<()>, _, _) = tokio::join!(publishing, all, half);
        published?;
        assert_eq!(all?, numbers(0..2 * MESSAGES));
        for half in half {
            assert_eq!(half?, numbers(MESSAGES..2 * MESSAGES));
        }
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_is_not_polled_delays_no_other() -> Result<()> {
        let topic = topic("parked").await?;
        let mut parked = topic.subscribe(StartAt::Latest).await?;
        assert!(timeout(Duration::from_millis(1), parked.next()).await.is_err());
        let mut other = topic.subscribe(StartAt::Latest).await?;
        for payload in numbers(0..MESSAGES) {
            topic.publish(&payload).await?;
            assert_eq!(timeout(Duration::from_secs(1), other.next()).await.unwrap()?.payload, payload);
        }
        assert_eq!(payloads(&mut parked, MESSAGES as usize).await?, numbers(0..MESSAGES));
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_larger_than_what_is_kept_is_received() -> Result<()> {
        let topic = topic("large").await?;
        let mut subscription = topic.subscribe(StartAt::Latest).await?;
        let large = vec![b'x'; 2 * super::BYTES_KEPT];
        let (received, published) = tokio::join!(subscription.next(), async {
            sleep(Duration::from_millis(1)).await;
            topic.publish(&large).await
        });
        published?;
        assert_eq!(received?.payload.len(), large.len());
        topic.publish(b"small").await?;
        assert_eq!(subscription.next().await?.payload, b"small");
        Ok(())
    }
}
