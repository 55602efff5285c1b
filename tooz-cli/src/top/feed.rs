//! Reads the backend for the view.
//!
//! - The names of all objects are listed in an interval, because no backend reports new names.
//! - Each object is followed by a task of its own from then on: the backend reports each change, and nothing is read
//!   while nothing changes. A task ends when its object was not in use for a while.
//! - Topics are not followed, as that would read all their messages. The listing reads their newest offset.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use tooz::{Coordinator, ErrorKind, GroupWatch, Result};

use crate::inspect::{Kind, MemberView, Object, ParticipantView, QueueView, names};

/// How many updates may wait for the screen.
const PENDING: usize = 1024;
/// How many objects are read for the first time at once, so that a slow server is not flooded.
const STARTING: usize = 16;
/// How long an object that is not in use is followed, because it may be in use again soon.
const KEPT: Duration = Duration::from_secs(60);

/// What holds and awaits an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) holders: Vec<ParticipantView>,
    pub(super) waiters: Vec<ParticipantView>,
    /// The capabilities of the members of a group, in the order of the holders.
    pub(super) capabilities: Vec<String>,
    /// The newest offset of a topic.
    pub(super) newest: Option<u64>,
}

/// News for the screen.
#[derive(Clone, Debug)]
pub(super) enum Update {
    Changed(Object, Content),
    /// The object is no longer in use.
    Gone(Object),
    /// The backend answers, or says why it does not.
    Backend(Result<(), String>),
}

/// Starts to read. Dropping the receiver ends all tasks.
pub(super) fn start(coordinator: &Coordinator, interval: Duration) -> mpsc::Receiver<Update> {
    let (updates, receiver) = mpsc::channel(PENDING);
    tokio::spawn(list(coordinator.clone(), interval, updates));
    receiver
}

/// A task that follows an object.
#[derive(Debug)]
struct Follower {
    task: AbortHandle,
    /// When the object was in use last, as the listing knows.
    listed: Instant,
}

async fn list(coordinator: Coordinator, interval: Duration, updates: mpsc::Sender<Update>) {
    let (mut followers, starting) = (HashMap::new(), Arc::new(Semaphore::new(STARTING)));
    while !updates.is_closed() {
        let outcome =
            list_once(&coordinator, &updates, &mut followers, &starting).await.map_err(|error| error.to_string());
        followers.retain(|_, follower| {
            let is_kept = follower.listed.elapsed() < KEPT;
            if !is_kept {
                follower.task.abort();
            }
            is_kept
        });
        if updates.send(Update::Backend(outcome)).await.is_err() {
            return;
        }
        sleep(interval).await;
    }
}

async fn list_once(
    coordinator: &Coordinator,
    updates: &mpsc::Sender<Update>,
    followers: &mut HashMap<Object, Follower>,
    starting: &Arc<Semaphore>,
) -> Result<()> {
    for kind in Kind::ALL {
        for name in names(coordinator, kind).await? {
            let object = Object { kind, name };
            if kind == Kind::Topic {
                let newest = object.summary(coordinator).await?.newest;
                let content = Content { newest, ..Content::default() };
                // The receiver ends with the program.
                let _ = updates.send(Update::Changed(object, content)).await;
                continue;
            }
            let running = followers.remove(&object).map(|known| known.task).filter(|task| !task.is_finished());
            let start = || {
                let task = follow(coordinator.clone(), object.clone(), updates.clone(), starting.clone());
                tokio::spawn(task).abort_handle()
            };
            let follower = Follower { task: running.unwrap_or_else(start), listed: Instant::now() };
            followers.insert(object, follower);
        }
    }
    Ok(())
}

/// Follows an object, also while it is not in use, until it fails.
async fn follow(coordinator: Coordinator, object: Object, updates: mpsc::Sender<Update>, starting: Arc<Semaphore>) {
    // Given back when the present content is known. The semaphore is never closed.
    let mut permit = starting.acquire().await.ok();
    let mut changes = Changes::of(&coordinator, &object).await;
    loop {
        let update = match changes.next().await {
            Ok(Some(content)) => Update::Changed(object.clone(), content),
            Ok(None) => Update::Gone(object.clone()),
            Err(error) => Update::Backend(Err(error.to_string())),
        };
        permit.take();
        let has_failed = matches!(update, Update::Backend(_));
        if updates.send(update).await.is_err() || has_failed {
            return;
        }
    }
}

/// The changes of one object.
#[derive(Debug)]
enum Changes {
    Queue(tooz::QueueWatch),
    Group { watch: Result<GroupWatch>, has_begun: bool },
}

impl Changes {
    async fn of(coordinator: &Coordinator, object: &Object) -> Self {
        match object.kind {
            Kind::Group => Self::Group { watch: coordinator.group(&object.name).watch().await, has_begun: false },
            _ => Self::Queue(object.watch(coordinator)),
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
            Self::Group { watch, has_begun } => {
                let watch = watch.as_mut().map_err(|error| error.clone())?;
                // The watch has read the members when it started, also if there are none.
                if std::mem::replace(has_begun, true) {
                    match watch.next().await {
                        Err(error) if error.kind() == ErrorKind::GroupNotCreated => return Ok(None),
                        event => drop(event?),
                    }
                }
                Ok(Some(content_of_group(watch)))
            }
        }
    }
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
