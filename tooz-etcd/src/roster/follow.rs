//! Following a roster: a snapshot at one revision, then the watch events after it, which carry keys and values.
//!
//! - The watches begin before the snapshot is read, so the events after its revision are complete.
//! - A key that was written at its creation is a new entry; one that was written later has a new value.
//! - A key is used again by a later entry, so the follower remembers the seq of the entry that has it.
//! - If the watch stream breaks, the follower fails, and core begins anew.

use std::collections::HashMap;

use async_trait::async_trait;
use tooz_core::Result;
use tooz_core::driver::{Change, Follow, Roster, Seq, Update};

use crate::client::{KeyRange, KeyValue, Subscription, is_deleted};
use crate::layout::{RosterKeys, seq};
use crate::session::EtcdSession;

/// A follower of one roster.
pub(crate) struct EtcdFollower<'a> {
    session: &'a EtcdSession,
    roster: &'a Roster,
    keys: RosterKeys,
    declared_key: Vec<u8>,
    /// Once the snapshot was read.
    subscription: Option<Subscription>,
    /// The revision of the snapshot.
    revision: i64,
    /// The entries that have the keys of the roster.
    entries: HashMap<Vec<u8>, Seq>,
}

impl<'a> EtcdFollower<'a> {
    pub(crate) fn new(session: &'a EtcdSession, roster: &'a Roster) -> Self {
        let (keys, declared_key) = (session.layout.roster(roster), session.layout.declared(roster));
        Self { session, roster, keys, declared_key, subscription: None, revision: 0, entries: HashMap::new() }
    }

    async fn begin(&mut self) -> Result<Update> {
        let watched = vec![self.keys.entries(), KeyRange::key(&*self.declared_key)];
        let subscription = self.session.watches.subscribe(watched, None).await?;
        let stored = self.session.read_stored(self.roster).await?;
        self.revision = stored.revision;
        self.entries = stored.entries.iter().map(|entry| (entry.key().to_vec(), seq(entry))).collect();
        self.subscription = Some(subscription);
        Ok(Update::Snapshot(stored.snapshot(&self.keys)))
    }

    fn change(&mut self, event: &KeyValue) -> Option<Change> {
        let is_deleted = is_deleted(event);
        if event.mod_revision() <= self.revision {
            None
        } else if event.key() == self.declared_key {
            Some(Change::Declared(!is_deleted))
        } else if is_deleted {
            self.entries.remove(event.key()).map(Change::Left)
        } else {
            let entry = self.keys.parse(event)?;
            match self.entries.insert(event.key().to_vec(), entry.seq) {
                Some(known) if known == entry.seq => Some(Change::Replaced { seq: known, value: entry.value }),
                _ => Some(Change::Entered(entry)),
            }
        }
    }
}

#[async_trait]
impl Follow for EtcdFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        loop {
            let Some(subscription) = &mut self.subscription else { return self.begin().await };
            let events = subscription.events().await?;
            let changes: Vec<_> = events.iter().filter_map(|event| self.change(event)).collect();
            if !changes.is_empty() {
                return Ok(Update::Changes(changes));
            }
        }
    }
}
