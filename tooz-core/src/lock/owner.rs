//! The value of an entry of a lock, semaphore or election: the member that entered it, the time and what the member says
//! about it, as MessagePack.

use serde::{Deserialize, Serialize};

use crate::driver::SessionOptions;
use crate::time::unix_millis;
use crate::{Error, ErrorKind, Result};

/// The member id of the coordinator, when it asked, in milliseconds since 1970, and its bytes for other clients.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Owner(
    #[serde(with = "bytes")] pub(super) Vec<u8>,
    pub(super) u64,
    #[serde(with = "bytes")] pub(super) Vec<u8>,
);

impl Owner {
    /// The encoded value of an entry that a client with these options enters now.
    pub(super) fn encode_now(options: &SessionOptions, info: &[u8]) -> Result<Vec<u8>> {
        options.check_value_size("the bytes of `with_info`", info.len())?;
        let owner = Self(options.member.as_bytes().to_vec(), unix_millis(), info.to_vec());
        rmp_serde::to_vec(&owner)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "failed to encode the owner").with_source(error))
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self> {
        rmp_serde::from_slice(value)
            .map_err(|error| Error::new(ErrorKind::Corrupt, "failed to read the owner of an entry").with_source(error))
    }
}

mod bytes {
    //! Bytes as MessagePack `bin`.
    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
