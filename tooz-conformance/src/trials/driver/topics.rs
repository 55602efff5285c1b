//! Topics. A driver that reports no topics must have none.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{ErrorKind, Name, Result};

use super::enter::awkward_names;
use crate::trials::fixtures::{Client, ends, fails, not_now, poll_then_drop, soon};
use crate::{Context, Failure, ensure, ensure_eq, fail};

rule_trials! {
    R25:
    topics_are_there_if_claimed,
    topic_publish_returns_the_offset_of_its_message,
    topic_retention_keeps_the_newest,
    topic_payloads_are_any_bytes,
    topic_names_are_any_bytes,
    topic_messages_outlive_their_session;
    R26:
    topic_order_is_the_same_for_all,
    topic_read_waits_for_a_message,
    topic_read_goes_on_after_it_was_dropped,
    topic_readers_are_all_woken,
    topic_read_respects_the_limit,
    topic_reader_that_fell_behind_gets_a_gap_error;
    R28:
    topic_bounds_follow_the_log;
}

const KEEP: u64 = 10_000;

async fn topics_are_there_if_claimed(context: Context) -> Result<(), Failure> {
    let (a, claimed) = (Client::open(&context, "a").await?, context.info()?.topics);
    ensure_eq!(a.topics().is_some(), claimed, "the driver reports topics, but its sessions have none, or the reverse");
    Ok(())
}

/// Two clients, or `None` if the driver has no topics, which `topics_are_there_if_claimed` checks.
async fn two_clients(context: &Context) -> Result<Option<(Client, Client)>, Failure> {
    if !context.info()?.topics {
        return Ok(None);
    }
    Ok(Some((Client::open(context, "a").await?, Client::open(context, "b").await?)))
}

fn topics(client: &Client) -> &dyn Topics {
    client.topics().expect("expected: topics, because the driver reports them")
}

fn topic() -> Name {
    Name::new("topic").expect("trials use valid names")
}

/// Reads `count` messages after `after`.
async fn read(client: &Client, mut after: Offset, count: usize, limit: usize) -> Result<Vec<Message>, Failure> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let batch = soon("the next messages", topics(client).read(&topic(), after, limit)).await?;
        ensure!(!batch.is_empty() && batch.len() <= limit, "a batch has 1 to {limit} messages, not {}", batch.len());
        after = batch[batch.len() - 1].offset;
        messages.extend(batch);
    }
    Ok(messages)
}

async fn publish_fifty(client: &Client, sender: u8) -> Result<Vec<Offset>> {
    let mut offsets = Vec::new();
    for number in 0..50 {
        offsets.push(topics(client).publish(&topic(), &[sender, number], KEEP).await?);
    }
    Ok(offsets)
}

async fn topic_publish_returns_the_offset_of_its_message(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    for payload in [b"one", b"two"] {
        let offset = topics(&a).publish(&topic(), payload, KEEP).await?;
        let newest = topics(&b).bounds(&topic()).await?.newest;
        ensure_eq!(offset, newest, "the offset that publish returned, and the newest one");
    }
    Ok(())
}

async fn topic_order_is_the_same_for_all(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    let (from_a, from_b, seen_by_a, seen_by_b) = tokio::join!(
        publish_fifty(&a, 0),
        publish_fifty(&b, 1),
        read(&a, Offset(0), 100, 7),
        read(&b, Offset(0), 100, 1000)
    );
    let (from_a, from_b, seen) = (from_a?, from_b?, seen_by_a?);
    ensure_eq!(seen, seen_by_b?);
    ensure!(seen.is_sorted_by(|one, next| one.offset < next.offset), "the offsets do not rise");
    ensure_eq!(seen.len(), 100, "a message was read twice");
    for (sender, offsets) in [(0, from_a), (1, from_b)] {
        let sent =
            offsets.into_iter().zip(0..).map(|(offset, number)| Message { offset, payload: vec![sender, number] });
        ensure!(seen.iter().filter(|message| message.payload[0] == sender).cloned().eq(sent), "sender {sender}");
    }
    ensure_eq!(
        read(&b, seen[39].offset, 60, 100).await?,
        seen[40..],
        "a read after the 40th message returned other messages"
    );
    Ok(())
}

async fn topic_read_waits_for_a_message(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    let mut last = Offset(0);
    for round in 0..3 {
        not_now("a message that was not published", topics(&b).read(&topic(), last, 10)).await;
        let reader = b.session();
        let reading = tokio::spawn(async move {
            let topics = reader.topics().expect("expected: topics, because the driver reports them");
            topics.read(&topic(), last, 10).await
        });
        sleep(Duration::from_millis(60)).await;
        // A message in another topic does not end the read.
        topics(&a).publish(&Name::new("topic2")?, b"other", KEEP).await?;
        let offset = topics(&a).publish(&topic(), &[round], KEEP).await?;
        let batch = ends("the message", reading).await?;
        ensure_eq!(batch, [Message { offset, payload: vec![round] }]);
        last = offset;
    }
    Ok(())
}

async fn topic_read_goes_on_after_it_was_dropped(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    let (topic, mut last) = (topic(), Offset(0));
    for polls in 0..8 {
        let reading = poll_then_drop(polls % 4, topics(&b).read(&topic, last, 10));
        let reading = tokio::time::timeout(Duration::from_millis(20), reading);
        let (_, offset) = tokio::join!(reading, topics(&a).publish(&topic, b"x", KEEP));
        let batch = soon("the message, asked for once more", topics(&b).read(&topic, last, 10)).await?;
        last = offset?;
        ensure_eq!(batch.iter().map(|message| message.offset).collect::<Vec<_>>(), [last]);
    }
    Ok(())
}

async fn topic_readers_are_all_woken(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    // Two readers of each session, and one that has read before.
    let first = topics(&a).publish(&topic(), b"first", KEEP).await?;
    let readers = [&a, &a, &b, &b].map(|client| {
        let reader = client.session();
        tokio::spawn(async move {
            let topics = reader.topics().expect("expected: topics, because the driver reports them");
            topics.read(&topic(), first, 10).await
        })
    });
    sleep(Duration::from_millis(60)).await;
    let offset = topics(&a).publish(&topic(), b"second", KEEP).await?;
    for reader in readers {
        ensure_eq!(
            ends("the message, for each reader", reader).await?,
            [Message { offset, payload: b"second".to_vec() }]
        );
    }
    Ok(())
}

async fn topic_read_respects_the_limit(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    for number in 0..10 {
        topics(&a).publish(&topic(), &[number], KEEP).await?;
    }
    for limit in [1, 3, 10, usize::MAX] {
        let messages = read(&b, Offset(0), 10, limit).await?;
        ensure!(messages.iter().map(|message| message.payload[0]).eq(0..10), "with limit {limit}");
    }
    Ok(())
}

async fn topic_bounds_follow_the_log(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    ensure_eq!(topics(&a).bounds(&topic()).await?, Bounds::default());
    let mut newest = Offset(0);
    for _ in 0..5 {
        let offset = topics(&a).publish(&topic(), b"x", KEEP).await?;
        ensure!(offset > newest);
        newest = offset;
        ensure_eq!(topics(&b).bounds(&topic()).await?, Bounds { trimmed: Offset(0), newest });
    }
    Ok(())
}

/// Publishes with a small `keep` until retention removes something, and returns the offsets of all messages.
async fn publish_until_trimmed(client: &Client, keep: u64) -> Result<Vec<Offset>, Failure> {
    let mut offsets = Vec::new();
    for _ in 0..40 {
        for _ in 0..25 {
            offsets.push(topics(client).publish(&topic(), b"x", keep).await?);
        }
        if topics(client).bounds(&topic()).await?.trimmed > Offset(0) {
            return Ok(offsets);
        }
    }
    fail!("retention removed nothing after {} messages with keep = {keep}", offsets.len())
}

async fn topic_retention_keeps_the_newest(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    let offsets = publish_until_trimmed(&a, 5).await?;
    let bounds = topics(&b).bounds(&topic()).await?;
    ensure_eq!(Some(&bounds.newest), offsets.last());
    let kept: Vec<_> = offsets.iter().filter(|offset| **offset > bounds.trimmed).copied().collect();
    ensure!(kept.len() >= 5, "only {} messages are kept", kept.len());
    let messages = read(&b, bounds.trimmed, kept.len(), 1000).await?;
    ensure_eq!(messages.iter().map(|message| message.offset).collect::<Vec<_>>(), kept);
    not_now("a message after the newest", topics(&b).read(&topic(), bounds.newest, 1)).await;
    // Offsets are never reused, even when all their messages are gone.
    let known: BTreeSet<_> = offsets.into_iter().collect();
    ensure!(!known.contains(&topics(&a).publish(&topic(), b"x", 1).await?));
    Ok(())
}

async fn topic_reader_that_fell_behind_gets_a_gap_error(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    let first = topics(&a).publish(&topic(), b"first", 5).await?;
    publish_until_trimmed(&a, 5).await?;
    let mut trimmed = topics(&b).bounds(&topic()).await?.trimmed;
    fails(soon("the answer", topics(&b).read(&topic(), Offset(0), 10)).await, ErrorKind::Gap);
    if first < trimmed {
        fails(soon("the answer", topics(&b).read(&topic(), first, 10)).await, ErrorKind::Gap);
    }
    loop {
        let read = soon("what is still there", topics(&b).read(&topic(), trimmed, 10)).await;
        // Retention may lag and continue meanwhile.
        let before = std::mem::replace(&mut trimmed, topics(&b).bounds(&topic()).await?.trimmed);
        match read {
            Err(error) if error.kind() == ErrorKind::Gap && trimmed > before => {}
            read => {
                ensure!(read?[0].offset > before);
                return Ok(());
            }
        }
    }
}

async fn topic_payloads_are_any_bytes(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    let payloads = [Vec::new(), vec![0], (0..=255).collect(), b"\r\n$-1\r\n".to_vec(), vec![0xa5; 256 * 1024]];
    for payload in &payloads {
        topics(&a).publish(&topic(), payload, KEEP).await?;
    }
    let read = read(&b, Offset(0), payloads.len(), 2).await?;
    ensure!(read.iter().map(|message| &message.payload).eq(&payloads), "a payload was changed on its way");
    Ok(())
}

async fn topic_names_are_any_bytes(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    for name in awkward_names() {
        let topic = Name::new(&name)?;
        topics(&a).publish(&topic, &name, KEEP).await?;
    }
    for name in awkward_names() {
        let topic = Name::new(&name)?;
        let messages = soon("the message", topics(&b).read(&topic, Offset(0), 10)).await?;
        ensure_eq!(messages.iter().map(|message| &message.payload).collect::<Vec<_>>(), [&name], "{topic}");
    }
    Ok(())
}

async fn topic_messages_outlive_their_session(context: Context) -> Result<(), Failure> {
    let Some((a, b)) = two_clients(&context).await? else { return Ok(()) };
    let first = topics(&a).publish(&topic(), b"first", KEEP).await?;
    a.close().await?;
    let second = topics(&b).publish(&topic(), b"second", KEEP).await?;
    ensure!(second > first);
    ensure_eq!(read(&b, Offset(0), 2, 10).await?[0].payload, b"first");
    Ok(())
}
