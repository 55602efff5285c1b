//! One object of the backend: reading it, and breaking what holds it.

use serde::Serialize;
use tooz::{Coordinator, ErrorKind, Name, NewName, Participant, Queue, QueueWatch, Result, StartAt};

use super::kind::Kind;
use super::view::ParticipantView;

/// The kind and the name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
}

/// An object at one moment, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Holders of a lock or semaphore, the leader of an election, or members of a group.
    pub(crate) holders: usize,
    pub(crate) waiters: usize,
    /// The first holder, leader or member.
    pub(crate) first: Option<ParticipantView>,
    /// The offset of the newest message of a topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) newest: Option<u64>,
}

impl Object {
    /// The object with a name that has come into use, if the backend says which it is.
    pub(crate) fn of(name: NewName) -> Option<Self> {
        let (kind, name) = match name {
            NewName::Lock(name) => (Kind::Lock, name),
            NewName::Semaphore(name) => (Kind::Semaphore, name),
            NewName::Election(name) => (Kind::Election, name),
            NewName::Group(name) => (Kind::Group, name),
            NewName::Topic(name) => (Kind::Topic, name),
            _ => return None,
        };
        Some(Self { kind, name })
    }

    /// Reads the holders and waiters of a lock, semaphore or election.
    pub(crate) async fn queue(&self, coordinator: &Coordinator) -> Result<Queue> {
        match self.kind {
            Kind::Semaphore => coordinator.semaphore(&self.name, 1).inspect().await,
            Kind::Election => coordinator.election(&self.name).inspect().await,
            Kind::Lock | Kind::Group | Kind::Topic => coordinator.lock(&self.name).inspect().await,
        }
    }

    /// Follows the holders and waiters of a lock, semaphore or election.
    pub(crate) fn watch(&self, coordinator: &Coordinator) -> QueueWatch {
        match self.kind {
            Kind::Semaphore => coordinator.semaphore(&self.name, 1).watch(),
            Kind::Election => coordinator.election(&self.name).watch(),
            Kind::Lock | Kind::Group | Kind::Topic => coordinator.lock(&self.name).watch(),
        }
    }

    /// Takes a lock, semaphore or election away from its holders, and returns them.
    pub(crate) async fn break_holders(&self, coordinator: &Coordinator) -> Result<Vec<Participant>> {
        match self.kind {
            Kind::Semaphore => coordinator.semaphore(&self.name, 1).break_permits().await,
            Kind::Election => coordinator.election(&self.name).depose().await,
            Kind::Lock | Kind::Group | Kind::Topic => coordinator.lock(&self.name).break_lock().await,
        }
    }

    /// Reads the object.
    pub(crate) async fn summary(&self, coordinator: &Coordinator) -> Result<Summary> {
        match self.kind {
            Kind::Group => self.group_summary(coordinator).await,
            Kind::Topic => {
                let newest = coordinator.topic(&self.name).subscribe(StartAt::Latest).await?.position();
                Ok(Summary { newest: Some(newest.0), ..self.empty() })
            }
            Kind::Lock | Kind::Semaphore | Kind::Election => Ok(self.summary_of(&self.queue(coordinator).await?)),
        }
    }

    /// The summary of a queue that was read.
    pub(crate) fn summary_of(&self, queue: &Queue) -> Summary {
        let first = queue.holders.first().map(ParticipantView::from);
        Summary { holders: queue.holders.len(), waiters: queue.waiters.len(), first, ..self.empty() }
    }

    /// The summary of an object that nothing holds.
    pub(crate) fn empty(&self) -> Summary {
        Summary { kind: self.kind, name: self.name.to_string(), holders: 0, waiters: 0, first: None, newest: None }
    }

    async fn group_summary(&self, coordinator: &Coordinator) -> Result<Summary> {
        match coordinator.group(&self.name).members().await {
            // It was deleted after it was listed.
            Err(error) if error.kind() == ErrorKind::GroupNotCreated => Ok(self.empty()),
            members => {
                let members = members?;
                let first = members.first().map(|member| ParticipantView {
                    member: member.id().to_string(),
                    token: 0,
                    shared: true,
                    since_ms: crate::output::millis(member.joined_at()),
                });
                Ok(Summary { holders: members.len(), first, ..self.empty() })
            }
        }
    }
}
