//! The rows: which event is measured, and at which sizes.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Serialize, Serializer};

use super::meter::Values;
use super::rows::{
    candidates, changes, coordinators, entries, idle_watchers, new_watchers, partitioner, permits, publishers,
    restarts, subscribers,
};
use super::setting::Setting;
use crate::Failure;

/// One kind of event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The event, for people.
    pub(crate) name: &'static str,
    /// What the size counts.
    pub(crate) size: &'static str,
    /// What the quantities are divided by.
    pub(crate) per: &'static str,
    /// The sizes that are measured.
    pub(crate) sizes: &'static [u64],
    /// Measures one size.
    pub(crate) measure: fn(Setting) -> BoxFuture<'static, Result<Values, Failure>>,
}

/// What was measured at one size.
#[derive(Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) size: u64,
    #[serde(serialize_with = "as_map")]
    pub(crate) values: Values,
}

fn as_map<S: Serializer>(values: &Values, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().copied())
}

const USUAL: &[u64] = &[10, 100, 1000];

pub(crate) const CHANGES: Row = Row {
    name: "a member joins or leaves a watched group",
    size: "members",
    per: "watcher and change",
    sizes: USUAL,
    measure: |setting| changes::measure(setting).boxed(),
};

pub(crate) const RESTARTS: Row = Row {
    name: "all members of a watched group restart at once",
    size: "members",
    per: "watcher and change",
    sizes: USUAL,
    measure: |setting| restarts::measure(setting).boxed(),
};

pub(crate) const NEW_WATCHERS: Row = Row {
    name: "clients begin to watch a group of 100",
    size: "watchers",
    per: "watcher",
    sizes: USUAL,
    measure: |setting| new_watchers::measure(setting).boxed(),
};

pub(crate) const IDLE_WATCHERS: Row = Row {
    name: "clients watch a group of 100 in which nothing changes",
    size: "watchers",
    per: "watcher and second",
    sizes: USUAL,
    measure: |setting| idle_watchers::measure(setting).boxed(),
};

pub(crate) const CANDIDATES: Row = Row {
    name: "a candidate joins or leaves an observed election",
    size: "candidates",
    per: "observer and change",
    sizes: USUAL,
    measure: |setting| candidates::measure(setting).boxed(),
};

pub(crate) const PERMITS: Row = Row {
    name: "one of size / 3 permits of a semaphore is handed over",
    size: "contenders",
    per: "hand-over",
    sizes: USUAL,
    measure: |setting| permits::measure(setting).boxed(),
};

pub(crate) const PUBLISHERS: Row = Row {
    name: "coordinators publish to one topic",
    size: "publishers",
    per: "message",
    sizes: &[1, 10, 100],
    measure: |setting| publishers::measure(setting).boxed(),
};

pub(crate) const SUBSCRIBERS: Row = Row {
    name: "subscribers of one coordinator receive a message",
    size: "subscribers",
    per: "message",
    sizes: USUAL,
    measure: |setting| subscribers::measure(setting).boxed(),
};

pub(crate) const ENTRIES: Row = Row {
    name: "the entries of a roster are read",
    size: "entries",
    per: "read",
    sizes: &[10, 100, 1000, 10_000],
    measure: |setting| entries::measure(setting).boxed(),
};

pub(crate) const PARTITIONER: Row = Row {
    name: "a node of a partitioner joins or leaves",
    size: "nodes",
    per: "change",
    sizes: USUAL,
    measure: |setting| partitioner::measure(setting).boxed(),
};

pub(crate) const COORDINATORS: Row = Row {
    name: "coordinators of one process",
    size: "coordinators",
    per: "coordinator",
    sizes: USUAL,
    measure: |setting| coordinators::measure(setting).boxed(),
};

/// All rows.
pub(crate) const ROWS: [Row; 11] = [
    CHANGES,
    RESTARTS,
    NEW_WATCHERS,
    IDLE_WATCHERS,
    CANDIDATES,
    PERMITS,
    PUBLISHERS,
    SUBSCRIBERS,
    ENTRIES,
    PARTITIONER,
    COORDINATORS,
];
