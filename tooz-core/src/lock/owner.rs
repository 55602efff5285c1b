//! The value of an entry of a lock, semaphore or election: the member that entered it, the time and what the member says
//! about it, as MessagePack.

use serde::{Deserialize, Serialize};

use crate::driver::SessionOptions;
use crate::time::unix_millis;
use crate::{Error, ErrorKind, Result, text_or_bytes};

/// The member id of the coordinator, when it asked, in milliseconds since 1970, and its bytes for other clients.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Owner(
    #[serde(with = "text_or_bytes")] pub(super) Vec<u8>,
    pub(super) u64,
    #[serde(with = "text_or_bytes")] pub(super) Vec<u8>,
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
