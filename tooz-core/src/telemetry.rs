//! The metrics of this crate, recorded through the `metrics` facade. Install any recorder to receive them.
//!
//! Each metric has the label `driver`.
//!
//! | name | kind | further labels | meaning |
//! |---|---|---|---|
//! | `tooz_acquisitions_total` | counter | `kind`, `outcome` (`admitted`, `blocked`, `failed`) | attempts to acquire a lock, permit or leadership, or to join a group |
//! | `tooz_acquire_seconds` | histogram | `kind` | time from the call to the admission, in seconds |
//! | `tooz_losses_total` | counter | `cause` (`session`, `evicted`) | sessions lost, and entries that another client removed |
//! | `tooz_renewals_total` | counter | `outcome` (`ok`, `failed`) | renewals of sessions |
//! | `tooz_reconnects_total` | counter | | sessions opened after a loss |
//! | `tooz_published_total` | counter | | messages published |
//! | `tooz_received_total` | counter | | messages received |

use std::time::Duration;

use metrics::{counter, histogram};

use crate::Result;
use crate::driver::Roster;

pub(crate) fn acquisition<T>(driver: &'static str, roster: &Roster, outcome: &Result<Option<T>>, waited: Duration) {
    let kind = roster.kind.as_str();
    let word = match outcome {
        Ok(Some(_)) => "admitted",
        Ok(None) => "blocked",
        Err(_) => "failed",
    };
    counter!("tooz_acquisitions_total", "driver" => driver, "kind" => kind, "outcome" => word).increment(1);
    if word == "admitted" {
        histogram!("tooz_acquire_seconds", "driver" => driver, "kind" => kind).record(waited);
    }
}

pub(crate) fn loss(driver: &'static str, cause: &'static str) {
    counter!("tooz_losses_total", "driver" => driver, "cause" => cause).increment(1);
}

pub(crate) fn renewal(driver: &'static str, ok: bool) {
    counter!("tooz_renewals_total", "driver" => driver, "outcome" => if ok { "ok" } else { "failed" }).increment(1);
}

pub(crate) fn reconnect(driver: &'static str) {
    counter!("tooz_reconnects_total", "driver" => driver).increment(1);
}

pub(crate) fn published(driver: &'static str) {
    counter!("tooz_published_total", "driver" => driver).increment(1);
}

pub(crate) fn received(driver: &'static str, messages: usize) {
    counter!("tooz_received_total", "driver" => driver).increment(messages as u64);
}
