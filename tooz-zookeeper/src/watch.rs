//! Waiting: for one's turn, for news of a roster, and for the removal of one's own entries by others.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::join;
use tokio::sync::Notify;
use tokio::time::sleep;
use tooz_core::Result;
use tooz_core::driver::{Entry, Loss, Nonce, Roster, Snapshot, Ticket, Version};

use crate::client::{Answer, Client, Fault, Stat, Watch, any_rung};
use crate::error::not_held;
use crate::layout::EntryName;
use crate::line::Line;
use crate::roster::{none_if_missing, path, seq};
use crate::session::Inner;
use crate::sweep::UNDECLARED;
use crate::turn::{Ahead, is_long};

/// An entry that stays for less is not worth a watch.
const FLEETING: Duration = Duration::from_millis(20);

/// Waits for the removal of an entry of ours, and reports it unless we removed it ourselves.
pub(crate) async fn guard(inner: Weak<Inner>, nonce: Nonce, path: String) {
    let bell = Arc::new(Notify::new());
    // An entry that is gone by then costs no request; whoever removes it meanwhile is seen by the first look.
    sleep(FLEETING).await;
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let watch = match inner.client.data_watched(&path, &bell).await {
            Ok((_, _, watch)) => watch,
            Err(Fault::NoNode) => {
                if inner.mine.gone(nonce) {
                    // Nobody listens to a session that was dropped.
                    let _ = inner.losses.send(Loss::Entry(nonce));
                }
                return;
            }
            Err(Fault::Over(_)) => return,
            Err(_) => {
                drop(inner);
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        drop(inner);
        any_rung(&bell, || watch.rung()).await;
    }
}

/// The rosters that are watched, with what is known of them, so that news costs as many reads as have changed.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<HashMap<Roster, Arc<tokio::sync::Mutex<View>>>>);

/// How many rosters are remembered that nobody waits for at the moment.
const IDLE_VIEWS: usize = 64;

impl Views {
    fn get(&self, roster: &Roster) -> Arc<tokio::sync::Mutex<View>> {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if views.len() > IDLE_VIEWS {
            views.retain(|_, view| Arc::strong_count(view) > 1);
        }
        views.entry(roster.clone()).or_default().clone()
    }
}

/// A roster as it was read, each part with the watch that tells when it is out of date.
#[derive(Debug, Default)]
struct View {
    bell: Arc<Notify>,
    parent: Option<(bool, Watch)>,
    children: Option<(Line, Watch)>,
    values: HashMap<String, Value>,
    version: Option<Version>,
}

#[derive(Debug)]
struct Value {
    entry: Entry,
    mzxid: i64,
    watch: Watch,
}

impl View {
    /// Reads again what has changed. The entries are those of one moment; a value may be a little newer.
    async fn refresh(&mut self, client: &Client, roster: &str) -> Result<()> {
        loop {
            if self.parent.as_ref().is_none_or(|(_, watch)| watch.rung()) {
                let (stat, watch) = client.exists_watched(roster, &self.bell).await?;
                self.parent = Some((stat.is_some_and(|stat| stat.version != UNDECLARED), watch));
            }
            if self.children.as_ref().is_none_or(|(_, watch)| watch.rung()) {
                let listed = none_if_missing(client.children_watched(roster, &self.bell).await)?;
                self.children = listed.map(|(names, watch)| (Line::new(names), watch));
            }
            if self.read_values(client, roster).await? {
                return Ok(());
            }
            // An entry went while we read; a list that still has it is out of date.
            self.children = None;
        }
    }

    /// Reads the values that are missing or out of date; whether all entries were there.
    async fn read_values(&mut self, client: &Client, roster: &str) -> Result<bool> {
        let Some((line, _)) = &self.children else {
            self.values.clear();
            return Ok(true);
        };
        let standing = line.standing();
        self.values.retain(|name, value| !value.watch.rung() && standing.iter().any(|listed| listed.name == *name));
        let missing: Vec<_> = standing.into_iter().filter(|listed| !self.values.contains_key(&listed.name)).collect();
        let bell = &self.bell;
        let reads = missing.iter().map(|listed| async move { client.data_watched(&path(roster, listed), bell).await });
        let mut complete = true;
        let mut read = Vec::with_capacity(missing.len());
        for (listed, answer) in missing.iter().zip(join_all(reads).await) {
            match none_if_missing(answer)? {
                Some((data, stat, watch)) => {
                    let value = Value { entry: entry(&listed.entry, data, &stat), mzxid: stat.mzxid, watch };
                    read.push((listed.name.clone(), value));
                }
                None => complete = false,
            }
        }
        self.values.extend(read);
        Ok(complete)
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut values: Vec<_> = self.values.values().collect();
        values.sort_unstable_by_key(|value| value.entry.seq);
        let declared = self.parent.as_ref().is_some_and(|(declared, _)| *declared);
        // Every change has a zxid of its own, so these numbers stand for the content.
        let mut hasher = DefaultHasher::new();
        declared.hash(&mut hasher);
        values.iter().for_each(|value| (value.entry.seq, value.mzxid).hash(&mut hasher));
        let version = Version(hasher.finish());
        self.version = Some(version);
        Snapshot { version, declared, entries: values.into_iter().map(|value| value.entry.clone()).collect() }
    }

    /// Forgets all, with the watches; those who wait for them look for themselves.
    fn forget(&mut self) {
        *self = Self { bell: self.bell.clone(), ..Self::default() };
        self.bell.notify_waiters();
    }

    fn rung(&self) -> bool {
        self.parent.as_ref().is_none_or(|(_, watch)| watch.rung())
            || self.children.as_ref().is_some_and(|(_, watch)| watch.rung())
            || self.values.values().any(|value| value.watch.rung())
    }
}

fn entry(name: &EntryName, value: Vec<u8>, stat: &Stat) -> Entry {
    let EntryName { mode, limit, nonce, ref key, .. } = *name;
    Entry { seq: seq(stat.czxid), nonce, key: key.clone(), mode, limit, value }
}

impl Inner {
    pub(crate) async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        match newer_than {
            None => self.snapshot_now(&parent).await,
            Some(seen) => self.snapshot_after(roster, &parent, seen).await,
        }
    }

    /// Reads everything behind a write of ours, so that a follower cannot answer with what is long past.
    async fn snapshot_now(&self, parent: &str) -> Result<Snapshot> {
        let mut view = View::default();
        let (touched, read) = join!(self.client.touch(), view.refresh(&self.client, parent));
        touched?;
        read?;
        Ok(view.snapshot())
    }

    async fn snapshot_after(&self, roster: &Roster, parent: &str, seen: Version) -> Result<Snapshot> {
        let shared = self.views.get(roster);
        let mut has_waited = false;
        loop {
            let mut ring = {
                let mut view = shared.lock().await;
                if !has_waited && view.version != Some(seen) {
                    // The caller knows something else, which may be newer: an event may still be on its way to us.
                    view.forget();
                }
                view.refresh(&self.client, parent).await?;
                let snapshot = view.snapshot();
                if snapshot.version != seen {
                    return Ok(snapshot);
                }
                let mut ring = Box::pin(view.bell.clone().notified_owned());
                ring.as_mut().enable();
                if view.rung() {
                    continue;
                }
                ring
            };
            pin!(&mut ring).await;
            // The view has shown what the caller knows, so what others made of it meanwhile is newer.
            has_waited = true;
        }
    }

    /// Wakes when one of the nearest entries before ours, as many as the limit, has gone: none of them can be left
    /// out, since any may be the one whose leave admits us, and those before them need not be watched.
    pub(crate) async fn await_turn(self: &Arc<Self>, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        let (bell, ahead) = self.mine.bell(ticket.nonce).ok_or_else(not_held)?;
        let mut ahead: Vec<_> = ahead.into_iter().collect();
        let mut has_waited = false;
        loop {
            if !ahead.is_empty() {
                let gone = || self.mine.placed(ticket.nonce).is_none();
                any_rung(&bell, || gone() || ahead.iter().any(|ahead| ahead.watch.rung())).await;
                has_waited = true;
                if self.succeeds(&parent, ticket, &ahead).await? {
                    return Ok(());
                }
            }
            let line = self.line(&parent).await?;
            let index = line.find(ticket.nonce).ok_or_else(not_held)?;
            self.parents.listed(&parent, line.entries().len());
            let blockers = line.blockers(index, ticket.mode, ticket.limit);
            let Some(nearest) = blockers.first() else {
                if has_waited && is_long(line.entries().len()) {
                    self.announce(&parent, ticket, line.entries().len()).await;
                }
                return Ok(());
            };
            let passes_on = ticket.limit.get() == 1 && line.passes_on(index, nearest);
            let nearest = blockers.into_iter().take(ticket.limit.get() as usize);
            let arming = nearest.map(|listed| {
                let bell = &bell;
                let path = path(&parent, listed);
                async move { self.client.data_watched(&path, bell).await }
            });
            let armed: Answer<Vec<_>> = join_all(arming).await.into_iter().collect();
            ahead = match armed {
                Ok(armed) => armed.into_iter().map(|(_, _, watch)| Ahead { watch, passes_on }).collect(),
                // It went meanwhile, so the line is another one.
                Err(Fault::NoNode) => Vec::new(),
                Err(fault) => return Err(fault.into()),
            };
        }
    }
}
