//! Follows one object for the view.

use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tooz::{Coordinator, ErrorKind, Group, GroupWatch, QueueWatch, Result, StartAt, Subscription, Topic};

use super::update::{Content, Update};
use crate::inspect::{Kind, MemberView, Object, ParticipantView, QueueView};

/// How long an object that is not in use is followed, because it may be in use again soon.
const KEPT: Duration = Duration::from_secs(60);
/// The pause between two messages of a topic that are received to learn its newest offset.
const TOPIC_PAUSE: Duration = Duration::from_millis(50);

/// Follows an object until it fails, was not in use for a while, or is a group that was deleted.
pub(super) async fn follow(
    coordinator: &Coordinator,
    object: &Object,
    updates: &mpsc::Sender<Update>,
    starting: &Semaphore,
) -> Result<()> {
    // Given back when the present content is known. The semaphore is never closed.
    let mut permit = starting.acquire().await.ok();
    let mut changes = Changes::of(coordinator, object);
    let mut patience = Duration::MAX;
    while let Ok(content) = timeout(patience, changes.next()).await {
        permit.take();
        let content = content?;
        let is_over = content.is_none() && object.kind == Kind::Group;
        patience = if content.is_some() { Duration::MAX } else { KEPT };
        let gone = || Update::Gone(object.clone());
        let update = content.map_or_else(gone, |content| Update::Changed(object.clone(), content));
        if updates.send(update).await.is_err() || is_over {
            break;
        }
    }
    Ok(())
}

/// The changes of one object.
#[derive(Debug)]
enum Changes {
    Queue(QueueWatch),
    Group(Group, Option<GroupWatch>),
    /// The subscription begins anew at each change, at the newest message, so that not every message is received.
    Topic(Topic, Option<Subscription>),
}

impl Changes {
    fn of(coordinator: &Coordinator, object: &Object) -> Self {
        match object.kind {
            Kind::Topic => Self::Topic(coordinator.topic(&object.name), None),
            Kind::Group => Self::Group(coordinator.group(&object.name), None),
            Kind::Lock | Kind::Semaphore | Kind::Election => Self::Queue(object.watch(coordinator)),
        }
    }

    /// The next content; `None` when the object is no longer in use. A group is in use until it is deleted.
    async fn next(&mut self) -> Result<Option<Content>> {
        match self {
            Self::Queue(watch) => {
                let QueueView { holders, waiters } = QueueView::from(&watch.next().await?);
                let is_used = !holders.is_empty() || !waiters.is_empty();
                Ok(is_used.then(|| Content { holders, waiters, ..Content::default() }))
            }
            Self::Group(group, watch) => match next_members(group, watch).await {
                Err(error) if error.kind() == ErrorKind::GroupNotCreated => Ok(None),
                content => content.map(Some),
            },
            Self::Topic(topic, subscription) => next_message(topic, subscription).await.map(Some),
        }
    }
}

async fn next_members(group: &Group, watch: &mut Option<GroupWatch>) -> Result<Content> {
    let watch = match watch {
        Some(watch) => {
            watch.next().await?;
            watch
        }
        // It has read the members when it starts.
        None => watch.insert(group.watch().await?),
    };
    Ok(content_of_group(watch))
}

async fn next_message(topic: &Topic, subscription: &mut Option<Subscription>) -> Result<Content> {
    if let Some(subscription) = subscription {
        match subscription.next().await {
            // Messages were removed faster than they were read.
            Err(error) if error.kind() == ErrorKind::Gap => {}
            message => drop(message?),
        }
        sleep(TOPIC_PAUSE).await;
    }
    let newest = subscription.insert(topic.subscribe(StartAt::Latest).await?).position();
    Ok(Content { newest: Some(newest.0), ..Content::default() })
}

fn content_of_group(watch: &GroupWatch) -> Content {
    let mut content = Content::default();
    for member in watch.members() {
        let MemberView { member, since_ms, capabilities } = MemberView::from(&member);
        content.holders.push(ParticipantView { member, token: 0, shared: true, since_ms });
        content.capabilities.push(capabilities.to_string());
    }
    content
}
