//! What this crate reports: spans and events through `tracing`, and metrics through the `metrics` facade.
//!
//! Install a subscriber and a recorder before you connect; without them nothing is recorded and nothing is spent.
//!
//! # Spans
//!
//! Each operation runs in a span of the level `info` with the fields `operation` and `member`. An operation on an object
//! adds the fields `kind` and `name`. The fields of OpenTelemetry are `otel.name` (such as `lock.acquire`), `otel.kind`
//! (`client`) and, if the operation fails, `error.type` (an [`ErrorKind`](crate::ErrorKind)) and `otel.status_code`.
//!
//! # Events
//!
//! State changes of the session, elections, resignations and losses have the level `info`; the loss of a session has the
//! level `warn`. All others, such as admissions, failed renewals and repeated requests, have the level `debug`.
//!
//! # Metrics
//!
//! Each metric has the label `driver`. Times are in seconds.
//!
//! | name | kind | further labels | meaning |
//! |---|---|---|---|
//! | `tooz_acquisitions_total` | counter | `kind`, `outcome` (`admitted`, `blocked`, `failed`) | attempts to acquire a lock, permit or leadership, or to join a group |
//! | `tooz_acquire_seconds` | histogram | `kind` | time from the call to the admission |
//! | `tooz_held` | gauge | `kind` | guards, leaderships and memberships of this process that are neither released nor dropped |
//! | `tooz_hold_seconds` | histogram | `kind` | time from the admission to the release or drop |
//! | `tooz_losses_total` | counter | `cause` (`session`, `evicted`) | sessions lost, and entries that another client removed |
//! | `tooz_renewals_total` | counter | `outcome` (`ok`, `failed`) | renewals of sessions |
//! | `tooz_reconnects_total` | counter | | sessions opened after a loss |
//! | `tooz_published_total` | counter | | messages published |
//! | `tooz_received_total` | counter | | messages received |
//!
//! `docs/telemetry/dashboard.json` of the repository is a Grafana dashboard of these metrics.

use std::fmt::Debug;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;
use tracing::{Span, debug, info, info_span};

use crate::driver::{Kind, Roster, Seq};
use crate::{Error, Name, Result};

/// Describes every metric to the recorder.
pub(crate) fn describe() {
    describe_counter!(
        "tooz_acquisitions_total",
        "Attempts to acquire a lock, permit or leadership, or to join a group"
    );
    describe_histogram!("tooz_acquire_seconds", Unit::Seconds, "Time from the call to the admission");
    describe_gauge!("tooz_held", "Guards, leaderships and memberships that are neither released nor dropped");
    describe_histogram!("tooz_hold_seconds", Unit::Seconds, "Time from the admission to the release or drop");
    describe_counter!("tooz_losses_total", "Sessions lost, and entries that another client removed");
    describe_counter!("tooz_renewals_total", "Renewals of sessions");
    describe_counter!("tooz_reconnects_total", "Sessions opened after a loss");
    describe_counter!("tooz_published_total", "Messages published");
    describe_counter!("tooz_received_total", "Messages received");
}

/// The span of an operation.
pub(crate) fn operation(operation: &'static str, member: &Name, object: Option<(&'static str, &Name)>) -> Span {
    let (kind, name) = object.unzip();
    info_span!(
        "tooz",
        "otel.name" = %format_args!("{}.{operation}", kind.unwrap_or("coordinator")),
        "otel.kind" = "client",
        "otel.status_code" = tracing::field::Empty,
        "error.type" = tracing::field::Empty,
        operation,
        %member,
        kind,
        name = name.map(tracing::field::display),
    )
}

/// Records in the span of an operation why it failed.
pub(crate) fn failed(span: &Span, error: &Error) {
    span.record("error.type", tracing::field::debug(error.kind()));
    span.record("otel.status_code", "ERROR");
}

/// A session has changed its state.
pub(crate) fn state(member: &Name, state: impl Debug) {
    info!(%member, ?state, "the session has changed its state");
}

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

/// Reports an entry that is held, from its admission until this value is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    driver: &'static str,
    kind: Kind,
    since: Instant,
}

impl Hold {
    pub(crate) fn start(driver: &'static str, member: &Name, roster: &Roster, token: Seq) -> Self {
        match roster.kind {
            Kind::Election => info!(election = %roster.name, %member, term = token.0, "elected"),
            _ => debug!(%roster, %member, fencing_token = token.0, "admitted"),
        }
        let hold = Self { driver, kind: roster.kind, since: Instant::now() };
        gauge!("tooz_held", "driver" => driver, "kind" => hold.kind.as_str()).increment(1.0);
        hold
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let kind = self.kind.as_str();
        gauge!("tooz_held", "driver" => self.driver, "kind" => kind).decrement(1.0);
        histogram!("tooz_hold_seconds", "driver" => self.driver, "kind" => kind).record(self.since.elapsed());
    }
}

/// An entry was released.
pub(crate) fn released(roster: &Roster, token: Seq) {
    match roster.kind {
        Kind::Election => info!(election = %roster.name, term = token.0, "resigned"),
        _ => debug!(%roster, fencing_token = token.0, "released"),
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
