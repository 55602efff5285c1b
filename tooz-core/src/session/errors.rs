//! The errors with which a session or its coordinator ends.

use std::time::Duration;

use crate::{Error, ErrorKind};

pub(super) fn renewal_timed_out(limit: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the backend did not answer the renewal within {limit:?}"))
}

pub(super) fn runtime_ended() -> Error {
    let message = "the runtime in which the coordinator connected has ended, and the session with it; \
                   connect again in a runtime that runs for as long as the coordinator is used";
    Error::new(ErrorKind::Closed, message)
}

pub(super) fn coordinator_closed() -> Error {
    Error::new(ErrorKind::Closed, "the coordinator was closed; connect a new one")
}
