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

use crate::client::{KeyEvent, KeyValue, Report, Subscription};
use crate::layout::{RosterKeys, seq};
use crate::session::EtcdSession;

/// A follower of one roster.
pub(crate) struct EtcdFollower<'a> {
    session: &'a EtcdSession,
    roster: &'a Roster,
    begun: Option<Begun>,
}

/// A follower that has read its snapshot.
struct Begun {
    subscription: Subscription,
    keys: RosterKeys,
    declared_key: Vec<u8>,
    /// The revision of the snapshot.
    revision: i64,
    /// The entries that have the keys of the roster.
    entries: HashMap<Vec<u8>, Seq>,
}

impl<'a> EtcdFollower<'a> {
    pub(crate) fn new(session: &'a EtcdSession, roster: &'a Roster) -> Self {
        Self { session, roster, begun: None }
    }

    async fn begin(&mut self) -> Result<Update> {
        let subscription = self.session.watches.subscribe(self.session.watched(self.roster), Report::All).await?;
        let stored = self.session.read_stored(self.roster).await?;
        let layout = &self.session.layout;
        self.begun = Some(Begun {
            subscription,
            keys: layout.roster(self.roster),
            declared_key: layout.declared(self.roster),
            revision: stored.revision,
            entries: stored.entries.iter().map(|entry| (entry.key().to_vec(), seq(entry))).collect(),
        });
        Ok(Update::Snapshot(self.session.snapshot_of(self.roster, &stored)))
    }
}

#[async_trait]
impl Follow for EtcdFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        let Some(begun) = &mut self.begun else { return self.begin().await };
        loop {
            let events = begun.subscription.events().await?;
            let changes: Vec<_> = events.into_iter().filter_map(|event| begun.change(event)).collect();
            if !changes.is_empty() {
                return Ok(Update::Changes(changes));
            }
        }
    }
}

impl Begun {
    fn change(&mut self, event: KeyEvent) -> Option<Change> {
        match event {
            KeyEvent::Put(stored) | KeyEvent::Deleted(stored) if stored.mod_revision() <= self.revision => None,
            KeyEvent::Put(stored) if stored.key() == self.declared_key => {
                (stored.version() == 1).then_some(Change::Declared(true))
            }
            KeyEvent::Deleted(stored) if stored.key() == self.declared_key => Some(Change::Declared(false)),
            KeyEvent::Put(stored) => self.put(&stored),
            KeyEvent::Deleted(stored) => self.entries.remove(stored.key()).map(Change::Left),
        }
    }

    fn put(&mut self, stored: &KeyValue) -> Option<Change> {
        let entry = self.keys.parse(stored)?;
        match self.entries.insert(stored.key().to_vec(), entry.seq) {
            Some(known) if known == entry.seq => Some(Change::Replaced { seq: known, value: entry.value }),
            _ => Some(Change::Entered(entry)),
        }
    }
}
