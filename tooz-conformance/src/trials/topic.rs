//! Topics: one order for all subscribers, each message once, and an error for a gap.

use std::time::Duration;

use tooz_core::{Coordinator, ErrorKind, Offset, StartAt, Subscription};

use super::coordinators::{pair, steady};
use super::fixtures::{ends, fails, not_now, poll_then_drop, soon};
use crate::{Context, Failure, ensure, ensure_eq};

trials! { "topic"
    NOTHING:
    a_backend_without_topics_says_so,
    latest_begins_after_the_call,
    earliest_begins_with_the_oldest,
    after_resumes_without_loss_or_repetition,
    subscribers_see_one_order,
    a_reader_that_catches_up_again_and_again_misses_nothing,
    a_subscriber_that_fell_behind_gets_one_gap_error,
    next_goes_on_after_it_was_dropped,
    closing_the_coordinator_ends_the_subscription,
    messages_wait_for_their_subscriber;
}

/// Two coordinators. The trial is ignored if the backend has no topics, which `a_backend_without_topics_says_so`
/// checks.
async fn with_topics(context: &Context) -> Result<(Coordinator, Coordinator), Failure> {
    match context.info()?.topics {
        true => pair(context).await,
        false => Err(Failure::ignored("the driver says that it has no topics")),
    }
}

async fn next(subscription: &mut Subscription) -> Result<(Offset, String), Failure> {
    let message = soon("the next message", subscription.next()).await?;
    Ok((message.offset, String::from_utf8_lossy(&message.payload).into_owned()))
}

async fn a_backend_without_topics_says_so(context: Context) -> Result<(), Failure> {
    let (a, claimed) = (steady(&context, "a").await?, context.info()?.topics);
    let (published, subscribed) = (a.topic("t").publish(b"x").await, a.topic("t").subscribe(StartAt::Latest).await);
    if claimed {
        published?;
        drop(subscribed?);
    } else {
        fails(published, ErrorKind::Unsupported);
        fails(subscribed, ErrorKind::Unsupported);
        fails(a.topic("t").subscribe(StartAt::After(Offset(1))).await, ErrorKind::Unsupported);
    }
    Ok(())
}

async fn latest_begins_after_the_call(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let before = a.topic("t").publish(b"before").await?;
    let mut subscription = b.topic("t").subscribe(StartAt::Latest).await?;
    ensure_eq!(subscription.position(), before);
    not_now("a message that was published before", subscription.next()).await;
    let offset = a.topic("t").publish(b"after").await?;
    ensure_eq!(next(&mut subscription).await?, (offset, "after".into()));
    ensure_eq!(subscription.position(), offset);
    Ok(())
}

async fn earliest_begins_with_the_oldest(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let mut early = b.topic("t").subscribe(StartAt::Earliest).await?;
    for text in ["1", "2", "3"] {
        a.topic("t").publish(text.as_bytes()).await?;
    }
    let mut late = b.topic("t").subscribe(StartAt::Earliest).await?;
    for subscription in [&mut early, &mut late] {
        for text in ["1", "2", "3"] {
            ensure_eq!(next(subscription).await?.1, text);
        }
    }
    Ok(())
}

async fn after_resumes_without_loss_or_repetition(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let mut position = a.topic("t").publish(b"0").await?;
    for round in 1..=5 {
        a.topic("t").publish(format!("{round}").as_bytes()).await?;
        // A new subscription each time, as after a restart.
        let mut subscription = b.topic("t").subscribe(StartAt::After(position)).await?;
        ensure_eq!(next(&mut subscription).await?.1, format!("{round}"));
        position = subscription.position();
    }
    Ok(())
}

async fn subscribers_see_one_order(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let mut readers = Vec::new();
    for coordinator in [&a, &b, &b] {
        let mut subscription = coordinator.topic("t").subscribe(StartAt::Earliest).await?;
        readers.push(tokio::spawn(async move {
            let mut messages = Vec::new();
            while messages.len() < 80 {
                messages.push(next(&mut subscription).await?);
            }
            Ok::<_, Failure>(messages)
        }));
    }
    let publish = async |coordinator: Coordinator, sender: &str| {
        for number in 0..40 {
            coordinator.topic("t").publish(format!("{sender}{number}").as_bytes()).await?;
        }
        Ok::<_, Failure>(())
    };
    let (from_a, from_b) = tokio::join!(publish(a.clone(), "a"), publish(b.clone(), "b"));
    from_a?;
    from_b?;
    let mut seen = Vec::new();
    for reader in readers {
        seen.push(ends("what a reader has seen", reader).await?);
    }
    ensure!(seen[0].is_sorted_by(|one, next| one.0 < next.0));
    ensure!(seen[0] == seen[1] && seen[1] == seen[2], "readers disagree: {seen:?}");
    for sender in ["a", "b"] {
        let sent = seen[0].iter().filter(|(_, text)| text.starts_with(sender)).map(|(_, text)| text.clone());
        ensure!(sent.eq((0..40).map(|number| format!("{sender}{number}"))), "{sender} is out of order");
    }
    Ok(())
}

/// Each subscription reads a few old messages and soon reaches the end, while new ones are published.
async fn a_reader_that_catches_up_again_and_again_misses_nothing(context: Context) -> Result<(), Failure> {
    const MESSAGES: usize = 400;
    let (a, b) = with_topics(&context).await?;
    let publish = async {
        for number in 0..MESSAGES {
            a.topic("t").publish(number.to_string().as_bytes()).await?;
        }
        Ok::<_, Failure>(())
    };
    let read = async {
        let (mut seen, mut start) = (Vec::new(), StartAt::Earliest);
        while seen.len() < MESSAGES {
            let mut subscription = b.topic("t").subscribe(start).await?;
            for _ in 0..(1 + seen.len() % 7).min(MESSAGES - seen.len()) {
                seen.push(next(&mut subscription).await?.1);
            }
            start = StartAt::After(subscription.position());
        }
        Ok::<_, Failure>(seen)
    };
    let (published, seen) = tokio::join!(publish, read);
    published?;
    let expected = (0..MESSAGES).map(|number| number.to_string()).collect::<Vec<_>>();
    ensure!(seen? == expected, "a message was missed, or read twice");
    Ok(())
}

async fn a_subscriber_that_fell_behind_gets_one_gap_error(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let topic = a.topic("t").keep(3);
    let first = topic.publish(b"0").await?;
    let mut subscription = b.topic("t").subscribe(StartAt::After(first)).await?;
    let mut published = 0;
    // Retention may lag, so only a read shows what is kept.
    while !subscription_is_behind(&b, first).await? {
        ensure!(published < 1_000, "retention has removed nothing although 3 messages are kept");
        for _ in 0..20 {
            published += 1;
            topic.publish(format!("{published}").as_bytes()).await?;
        }
    }
    fails(soon("the gap error", subscription.next()).await, ErrorKind::Gap);
    let (offset, text) = next(&mut subscription).await?;
    let number: u32 = text.parse()?;
    ensure!(offset > first && number > 1, "{text} is not behind the gap");
    for number in number + 1..=published {
        ensure_eq!(next(&mut subscription).await?.1, number.to_string());
    }
    ensure!(published - number + 1 >= 3, "fewer than 3 messages were kept");
    Ok(())
}

/// Whether a subscription after `first` has missed a message.
async fn subscription_is_behind(coordinator: &Coordinator, first: Offset) -> Result<bool, Failure> {
    let mut probe = coordinator.topic("t").subscribe(StartAt::After(first)).await?;
    match tokio::time::timeout(Duration::from_secs(1), probe.next()).await {
        Ok(Err(error)) if error.kind() == ErrorKind::Gap => Ok(true),
        Ok(outcome) => Ok(outcome.map(|_| false)?),
        Err(_) => Ok(false),
    }
}

async fn next_goes_on_after_it_was_dropped(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let mut subscription = b.topic("t").subscribe(StartAt::Latest).await?;
    for round in 0..10 {
        let dropped = poll_then_drop(round % 4, subscription.next());
        let dropped = tokio::time::timeout(Duration::from_millis(10), dropped);
        let publishing = async {
            let text = format!("{round}");
            a.topic("t").publish(text.as_bytes()).await
        };
        let (seen, published) = tokio::join!(dropped, publishing);
        published?;
        let text = match seen.ok().flatten().transpose()? {
            Some(message) => String::from_utf8(message.payload)?,
            None => next(&mut subscription).await?.1,
        };
        ensure_eq!(text, format!("{round}"), "a message was lost or repeated");
    }
    Ok(())
}

async fn closing_the_coordinator_ends_the_subscription(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let mut subscription = b.topic("t").subscribe(StartAt::Latest).await?;
    let reading = tokio::spawn(async move { subscription.next().await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    b.close().await;
    fails(ends("the end of the subscription", reading).await, ErrorKind::Closed);
    fails(b.topic("t").publish(b"x").await, ErrorKind::Closed);
    a.topic("t").publish(b"x").await?;
    Ok(())
}

async fn messages_wait_for_their_subscriber(context: Context) -> Result<(), Failure> {
    let (a, b) = with_topics(&context).await?;
    let offset = a.topic("t").publish(b"left behind").await?;
    a.close().await;
    let mut subscription = b.topic("t").subscribe(StartAt::Earliest).await?;
    ensure_eq!(next(&mut subscription).await?, (offset, "left behind".into()));
    Ok(())
}
