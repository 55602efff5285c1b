//! What the view learns of the backend.

use tooz::Result;

use crate::inspect::{Object, ParticipantView};

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
