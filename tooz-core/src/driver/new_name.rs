//! Names that come into use.

use super::Kind;
use crate::Name;

/// What has come into use, as [`Session::watch_names`](super::Session::watch_names) reports it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NewName {
    /// Any names, and any number of them: list them to learn which.
    Any,
    /// A lock.
    Lock(Name),
    /// A semaphore.
    Semaphore(Name),
    /// An election.
    Election(Name),
    /// A group.
    Group(Name),
    /// A topic.
    Topic(Name),
}

impl NewName {
    /// The name of a roster, whose kind is the word of [`Kind::as_str`], or that of a topic, whose kind is `topic`. For any
    /// other word, [`Any`](Self::Any).
    pub fn new(kind: &str, name: Name) -> Self {
        match kind {
            "topic" => Self::Topic(name),
            _ => Kind::ALL.into_iter().find(|known| known.as_str() == kind).map_or(Self::Any, |kind| match kind {
                Kind::Lock => Self::Lock(name),
                Kind::Semaphore => Self::Semaphore(name),
                Kind::Election => Self::Election(name),
                Kind::Group => Self::Group(name),
            }),
        }
    }
}
