//! One file for each row: what it prepares, and the event that it measures.

pub(super) mod candidates;
pub(super) mod changes;
pub(crate) mod coordinators;
pub(super) mod entries;
pub(super) mod idle_watchers;
pub(super) mod new_watchers;
pub(super) mod partitioner;
pub(super) mod permits;
pub(super) mod publishers;
pub(super) mod restarts;
pub(super) mod subscribers;
