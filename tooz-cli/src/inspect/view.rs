//! Participants and members in a form that serde writes.

use serde::Serialize;
use serde_json::{Value as Json, json};
use tooz::{Member, Participant, Queue, Value};

use crate::output::millis;

/// A holder or waiter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ParticipantView {
    /// The member id of its coordinator.
    pub(crate) member: String,
    /// The fencing token that it has, or will have.
    pub(crate) token: u64,
    /// Whether it asked for shared mode.
    pub(crate) shared: bool,
    /// When it asked, by its own clock, in milliseconds since 1970; 0 if that is unknown.
    pub(crate) since_ms: u64,
}

impl From<&Participant> for ParticipantView {
    fn from(participant: &Participant) -> Self {
        Self {
            member: participant.member.to_string(),
            token: participant.token.0,
            shared: participant.shared,
            since_ms: millis(participant.since),
        }
    }
}

/// The holders and waiters of a lock, semaphore or election.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct QueueView {
    /// In the order of arrival.
    pub(crate) holders: Vec<ParticipantView>,
    /// In the order of the grants.
    pub(crate) waiters: Vec<ParticipantView>,
}

impl From<&Queue> for QueueView {
    fn from(queue: &Queue) -> Self {
        let view = |participants: &[Participant]| participants.iter().map(ParticipantView::from).collect();
        Self { holders: view(&queue.holders), waiters: view(&queue.waiters) }
    }
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MemberView {
    /// The member id.
    pub(crate) member: String,
    /// When it joined, by its own clock, in milliseconds since 1970; 0 if that is unknown.
    pub(crate) since_ms: u64,
    /// Its capabilities; null if they are unreadable.
    pub(crate) capabilities: Json,
}

impl From<&Member> for MemberView {
    fn from(member: &Member) -> Self {
        Self {
            member: member.id().to_string(),
            since_ms: millis(member.joined_at()),
            capabilities: capabilities_json(member),
        }
    }
}

/// The capabilities of a member as JSON; null if they are unreadable.
fn capabilities_json(member: &Member) -> Json {
    member.capabilities_as::<Value>().map_or(Json::Null, |value| to_json(&value))
}

/// JSON has neither bytes nor extension types, so they become objects that say what they are.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Uint(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!({ "bytes": bytes }),
        Value::List(values) => values.iter().map(to_json).collect(),
        Value::Map(pairs) => {
            let name = |key: &Value| key.as_str().map_or_else(|| to_json(key).to_string(), str::to_owned);
            Json::Object(pairs.iter().map(|(key, value)| (name(key), to_json(value))).collect())
        }
        Value::Ext(number, bytes) => json!({ "type": number, "bytes": bytes }),
        other => json!(format!("{other:?}")),
    }
}
