//! Topics: the cost of publishing, and the time until subscribers receive a message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tooz_core::StartAt;

use super::figure::{Figure, Round, now};
use super::floor::Floor;
use super::pair::repeat;
use super::run::Bench;
use crate::Failure;
use crate::harness::joined;

const PAYLOAD: [u8; 100] = [b'x'; 100];

/// Publishing, and the time from publish to the last of 1 to 16 subscribers.
pub(super) async fn figures(bench: &Bench) -> Result<(), Failure> {
    let context = bench.fresh();
    let coordinator = context.coordinator("bench").await?;
    let floor: Arc<dyn Floor> = bench.floor(&context).await?;
    let length = bench.slice(250);
    for tasks in [1, 64] {
        let name = format!("publish, {tasks} task{}", if tasks == 1 { "" } else { "s" });
        let figure = Figure::new(name).beside("one append", None).of_tasks(tasks).measure(
            bench.rounds().min(5),
            || {
                repeat(length, tasks, |_| {
                    let topic = coordinator.topic("rate");
                    move || {
                        let topic = topic.clone();
                        async move { Ok(topic.publish(&PAYLOAD).await.map(drop)?) }
                    }
                })
            },
            || {
                repeat(length, tasks, |_| {
                    let floor = floor.clone();
                    move || {
                        let floor = floor.clone();
                        async move { floor.append().await }
                    }
                })
            },
        );
        bench.add(figure.await?);
    }
    coordinator.close().await;
    for subscribers in [1, 4, 16] {
        let mut figure = Figure::new(format!("publish to receipt, the last of {subscribers} subscribers"));
        for _ in 0..bench.rounds().min(3) {
            figure.ours.push(receipts(bench, subscribers).await?);
        }
        bench.add(figure);
    }
    Ok(())
}

async fn receipts(bench: &Bench, subscribers: usize) -> Result<Round, Failure> {
    let coordinator = bench.fresh().coordinator("receives").await?;
    let topic = coordinator.topic("latency");
    let mut subscriptions = Vec::new();
    for _ in 0..subscribers {
        subscriptions.push(topic.subscribe(StartAt::Latest).await?);
    }
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.is_empty() || start.elapsed() < bench.slice(500) {
        let receiving: Vec<_> = subscriptions
            .drain(..)
            .map(|mut subscription| {
                tokio::spawn(async move {
                    let message = timeout(Duration::from_secs(10), subscription.next()).await;
                    message.map_err(|_| Failure::new("a message did not come within 10 s"))??;
                    Ok::<_, Failure>((now(), subscription))
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(3)).await;
        let (began, mut last) = (now(), 0);
        topic.publish(&PAYLOAD).await?;
        for receiving in receiving {
            let (received, subscription) = joined(receiving).await?;
            last = last.max(received.saturating_sub(began));
            subscriptions.push(subscription);
        }
        times.push(last);
    }
    coordinator.close().await;
    Round::of_times(times, None)
}
