//! Members of a group as others see them, and how their entries store them.

use std::fmt;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::capabilities::Capabilities;
use super::message_pack;
use super::value::Value;
use crate::driver::{Entry, Nonce, Seq, SessionOptions};
use crate::time::{from_unix_millis, unix_millis};
use crate::{Error, ErrorKind, Name, Result};

/// Identifies one stay of a member in a group. A member that leaves and joins again has a new incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub(super) Nonce);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A member of a group at the time of a read.
///
/// An entry that another program has written may be unreadable. It is still listed as a member, so that readers of the
/// other members are not disturbed. Its [`capabilities`](Self::capabilities) are an error, and
/// [`Group::evict`](crate::Group::evict) can remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    id: Name,
    incarnation: Incarnation,
    seq: Seq,
    joined_ms: u64,
    capabilities: Vec<u8>,
    is_readable: bool,
}

impl Member {
    /// The member id. If it is unreadable, the text of the incarnation.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// The incarnation of the member.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// When the member joined, by its own clock; 1970 if that is unreadable.
    pub fn joined_at(&self) -> SystemTime {
        from_unix_millis(self.joined_ms)
    }

    /// The capabilities of the member as a map; empty if it joined with `()`.
    ///
    /// # Errors
    /// `Corrupt` if the capabilities are unreadable or are not a map.
    pub fn capabilities(&self) -> Result<Capabilities> {
        self.capabilities_as()
    }

    /// The capabilities of the member as your own type.
    ///
    /// # Errors
    /// `Corrupt` if the capabilities are unreadable or have another type.
    pub fn capabilities_as<T: DeserializeOwned>(&self) -> Result<T> {
        let capabilities = match self.is_readable {
            true => message_pack::decode(&self.capabilities),
            false => Err(Error::new(ErrorKind::Corrupt, "the entry of the member is unreadable; evict the member")),
        };
        capabilities.map_err(|error| error.with_context("member", &self.id))
    }

    /// The capabilities of the member as it encoded them: MessagePack. If the entry is unreadable, all its bytes.
    pub fn capabilities_bytes(&self) -> &[u8] {
        &self.capabilities
    }

    /// The position of the entry in the roster.
    pub(super) fn seq(&self) -> Seq {
        self.seq
    }

    /// Fails for no entry: if the id is unreadable, the text of the nonce, which is a valid name, takes its place.
    pub(super) fn read(entry: &Entry) -> Result<Self> {
        let id = Name::new(entry.key.as_deref().unwrap_or_default());
        let value = entry.value.split_first_chunk::<8>();
        let (joined, capabilities) = value.unwrap_or((&[0; 8], &entry.value));
        Ok(Self {
            is_readable: id.is_ok() && value.is_some(),
            id: id.or_else(|_| Name::new(entry.nonce.to_string()))?,
            incarnation: Incarnation(entry.nonce),
            seq: entry.seq,
            joined_ms: u64::from_be_bytes(*joined),
            capabilities: capabilities.to_vec(),
        })
    }
}

/// The id, the incarnation, the time of joining in milliseconds since 1970, and the capabilities, or null if they are
/// unreadable.
impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut member = serializer.serialize_struct("Member", 4)?;
        member.serialize_field("id", &self.id)?;
        member.serialize_field("incarnation", &self.incarnation.to_string())?;
        member.serialize_field("joined_ms", &self.joined_ms)?;
        member.serialize_field("capabilities", &self.capabilities_as::<Value>().ok())?;
        member.end()
    }
}

/// The value of a member's entry: eight bytes with the time of joining, then the capabilities.
#[derive(Clone, Debug)]
pub(super) struct MemberValue {
    joined_ms: u64,
    capabilities: Vec<u8>,
    /// The options of the coordinator, which limit the size.
    options: SessionOptions,
}

impl MemberValue {
    /// A member that joins now.
    pub(super) fn now(capabilities: impl Serialize, options: &SessionOptions) -> Result<Self> {
        let capabilities = message_pack::encode(capabilities, options)?;
        Ok(Self { joined_ms: unix_millis(), capabilities, options: options.clone() })
    }

    /// The same member with other capabilities.
    pub(super) fn with_capabilities(&self, capabilities: impl Serialize) -> Result<Self> {
        Ok(Self { capabilities: message_pack::encode(capabilities, &self.options)?, ..self.clone() })
    }

    /// The same capabilities for a member that joins again now.
    pub(super) fn rejoining_now(&self) -> Self {
        Self { joined_ms: unix_millis(), ..self.clone() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.joined_ms.to_be_bytes()[..], &self.capabilities].concat()
    }
}
