//! Members of a group as others see them, and how their entries store them.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::capabilities::{self, Capabilities};
use crate::driver::{Entry, Nonce, Snapshot, support};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    id: Name,
    incarnation: Incarnation,
    joined_ms: u64,
    capabilities: Vec<u8>,
}

impl Member {
    /// The member id.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// The incarnation of the member.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// When the member joined, by its own clock.
    pub fn joined_at(&self) -> SystemTime {
        from_unix_millis(self.joined_ms)
    }

    /// The capabilities of the member as a map; empty if it joined with `()`.
    ///
    /// # Errors
    /// `Corrupt` if the capabilities are not a map with text keys.
    pub fn capabilities(&self) -> Result<Capabilities> {
        Ok(self.capabilities_as::<Option<Capabilities>>()?.unwrap_or_default())
    }

    /// The capabilities of the member as a type of yours.
    ///
    /// # Errors
    /// `Corrupt` if the capabilities have another type.
    pub fn capabilities_as<T: DeserializeOwned>(&self) -> Result<T> {
        capabilities::decode(&self.capabilities).map_err(|error| error.with_context("member", &self.id))
    }

    /// The capabilities of the member as it encoded them: MessagePack.
    pub fn capabilities_bytes(&self) -> &[u8] {
        &self.capabilities
    }

    /// Reads the members of a group that must exist.
    pub(super) fn read_all(snapshot: &Snapshot) -> Result<Vec<Self>> {
        match snapshot.declared {
            true => snapshot.entries.iter().map(Self::read).collect(),
            false => Err(support::group_not_created()),
        }
    }

    fn read(entry: &Entry) -> Result<Self> {
        let (id, (joined, capabilities)) =
            entry.key.as_deref().zip(entry.value.split_first_chunk::<8>()).ok_or_else(|| corrupt(entry))?;
        Ok(Self {
            id: Name::new(id).map_err(|error| corrupt(entry).with_source(error))?,
            incarnation: Incarnation(entry.nonce),
            joined_ms: u64::from_be_bytes(*joined),
            capabilities: capabilities.to_vec(),
        })
    }
}

fn corrupt(entry: &Entry) -> Error {
    Error::new(ErrorKind::Corrupt, "failed to read the entry of a member").with_context("entry", entry.seq)
}

/// The value of a member's entry: eight bytes with the time of joining, then the capabilities.
#[derive(Clone, Debug)]
pub(super) struct MemberValue {
    joined_ms: u64,
    capabilities: Vec<u8>,
}

impl MemberValue {
    /// A member that joins now.
    pub(super) fn now(capabilities: impl Serialize) -> Result<Self> {
        Ok(Self { joined_ms: unix_millis(), capabilities: capabilities::encode(capabilities)? })
    }

    /// The same member with other capabilities.
    pub(super) fn with_capabilities(&self, capabilities: impl Serialize) -> Result<Self> {
        Ok(Self { joined_ms: self.joined_ms, capabilities: capabilities::encode(capabilities)? })
    }

    /// The same capabilities for a member that joins again now.
    pub(super) fn rejoining_now(&self) -> Self {
        Self { joined_ms: unix_millis(), capabilities: self.capabilities.clone() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.joined_ms.to_be_bytes()[..], &self.capabilities].concat()
    }
}
