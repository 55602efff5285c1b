//! Members of a group, as others see them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::capabilities::{self, Capabilities};
use crate::driver::{Entry, Nonce};
use crate::lock::now_ms;
use crate::{Error, ErrorKind, Name, Result};

/// Tells one stay of a member in a group from its other stays: a member that left and came back has a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub(crate) Nonce);

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

/// A member of a group.
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

    /// Which stay of this member it is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// When it joined, by its own clock.
    pub fn joined_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.joined_ms)
    }

    /// What it tells of itself, as a map. Empty if it joined with `()`.
    ///
    /// # Errors
    /// `Corrupt` if it is not a map of names.
    pub fn capabilities(&self) -> Result<Capabilities> {
        Ok(self.capabilities_as::<Option<Capabilities>>()?.unwrap_or_default())
    }

    /// What it tells of itself, as a type of yours.
    ///
    /// # Errors
    /// `Corrupt` if it is of another type.
    pub fn capabilities_as<T: DeserializeOwned>(&self) -> Result<T> {
        capabilities::decode(&self.capabilities).map_err(|error| error.with_context("member", &self.id))
    }

    /// What it tells of itself, as MessagePack.
    pub fn capabilities_bytes(&self) -> &[u8] {
        &self.capabilities
    }

    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let corrupt = || Error::new(ErrorKind::Corrupt, "the member's entry cannot be read");
        let (joined, capabilities) = entry.value.split_first_chunk::<8>().ok_or_else(corrupt)?;
        Ok(Self {
            id: Name::new(entry.key.as_deref().ok_or_else(corrupt)?)?,
            incarnation: Incarnation(entry.nonce),
            joined_ms: u64::from_be_bytes(*joined),
            capabilities: capabilities.to_vec(),
        })
    }
}

/// The value of a member's entry: when it joined, in milliseconds since 1970, and its capabilities.
#[derive(Clone, Debug)]
pub(crate) struct MemberValue {
    joined_ms: u64,
    capabilities: Vec<u8>,
}

impl MemberValue {
    pub(crate) fn now(capabilities: impl Serialize) -> Result<Self> {
        Ok(Self { joined_ms: now_ms(), capabilities: capabilities::encode(capabilities)? })
    }

    pub(crate) fn with_capabilities(&self, capabilities: impl Serialize) -> Result<Self> {
        Ok(Self { joined_ms: self.joined_ms, capabilities: capabilities::encode(capabilities)? })
    }

    /// The same for a new stay that begins now.
    pub(crate) fn renewed(&self) -> Self {
        Self { joined_ms: now_ms(), capabilities: self.capabilities.clone() }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&self.joined_ms.to_be_bytes()[..], &self.capabilities].concat()
    }
}
