//! The options with which a driver opens a session.

use std::time::Duration;

use crate::{Error, ErrorKind, Name, Result};

/// The options of a new session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The prefix of everything that the session reads or writes. Never empty.
    pub namespace: String,
    /// The member that opens the session: for logs, and as the client name that the backend shows.
    pub member: Name,
    /// The time without a renewal after which the backend may end the session. The backend may grant a different one.
    /// Core has checked that it lies in [`DriverInfo::ttl_range`](super::DriverInfo::ttl_range).
    pub ttl: Duration,
    /// The time after which a request without a reply fails with `Unavailable`. A driver bounds every request by it.
    /// Core has checked that it lies in [`TIMEOUT_RANGE`](Self::TIMEOUT_RANGE).
    pub timeout: Duration,
    /// The greatest size of the value of an entry in bytes. Core checks every value before it sends it, so a driver stores
    /// any value of at most [`MAX_VALUE_SIZE`](Self::MAX_VALUE_SIZE).
    pub max_value_size: usize,
}

impl SessionOptions {
    /// The least and the greatest request timeout.
    pub const TIMEOUT_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));

    /// The default of [`max_value_size`](Self::max_value_size): 64 KiB.
    pub const DEFAULT_MAX_VALUE_SIZE: usize = 64 * 1024;

    /// The greatest [`max_value_size`](Self::max_value_size): 512 KiB, which every backend stores.
    pub const MAX_VALUE_SIZE: usize = 512 * 1024;

    /// Options with these values, and with the default size of values. `namespace` must not be empty.
    pub fn new(namespace: impl Into<String>, member: Name, ttl: Duration, timeout: Duration) -> Self {
        let max_value_size = Self::DEFAULT_MAX_VALUE_SIZE;
        Self { namespace: namespace.into(), member, ttl, timeout, max_value_size }
    }

    /// The same, with another greatest size of values in bytes.
    #[must_use]
    pub fn with_max_value_size(mut self, bytes: usize) -> Self {
        self.max_value_size = bytes;
        self
    }

    /// Refuses a value that is larger than [`max_value_size`](Self::max_value_size). `what` names it in the error.
    pub(crate) fn check_value_size(&self, what: &str, bytes: usize) -> Result<()> {
        if bytes <= self.max_value_size {
            return Ok(());
        }
        let limit = self.max_value_size;
        let message = format!(
            "{what} have {bytes} bytes, but at most {limit} are allowed; store large data elsewhere and publish where it \
             is, or raise the option \"max_value_size\""
        );
        Err(Error::new(ErrorKind::InvalidOption, message))
    }
}
