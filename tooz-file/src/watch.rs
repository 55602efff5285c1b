//! Waiting: for a turn, for a change of a roster, for a message. State is compared, so a poke only says when to look; but
//! who was admitted is told that, and need not.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tooz_core::driver::{Entry, Nonce, Roster, Seq, Snapshot, Ticket, Version};

use crate::core::Core;
use crate::error::{Outcome, not_held};
use crate::line::{Line, read_mode};
use crate::poke::Poke;
use crate::roster::Caller;

/// The answer of a look, or when to look again.
#[derive(Debug)]
pub(crate) enum Look<T> {
    Ready(T),
    Wait(OwnedNotified),
}

/// Who waits in this process.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    turns: HashMap<i64, Arc<Notify>>,
    /// Who waited and was told by a poke of its admission, until it looks or the next tick.
    admitted: HashSet<i64>,
    rosters: HashMap<i64, Bell>,
    topics: HashMap<i64, Bell>,
}

/// A bell that other processes know of, because we are in their list of watchers or readers.
#[derive(Debug, Default)]
struct Bell {
    notify: Arc<Notify>,
    /// Nobody waited for it at the last tick either.
    idle: bool,
}

impl Bells {
    /// Wakes those who wait for what a poke names. They have been registered under the lock that protects the core, so
    /// that a change just after their look is not missed.
    pub(crate) fn ring(&mut self, poke: Poke) {
        let notify = match poke {
            Poke::Admitted(seq) => self.turns.remove(&seq).inspect(|_| {
                self.admitted.insert(seq);
            }),
            Poke::Removed(seq) => self.turns.remove(&seq),
            Poke::Roster(id) => self.rosters.get(&id).map(|bell| bell.notify.clone()),
            Poke::Topic(id) => self.topics.get(&id).map(|bell| bell.notify.clone()),
            Poke::Evictions | Poke::Ring | Poke::All => None,
        };
        notify.iter().for_each(|notify| notify.notify_waiters());
    }

    /// Wakes everybody.
    pub(crate) fn ring_all(&mut self) {
        self.turns.drain().for_each(|(_, notify)| notify.notify_waiters());
        self.rosters.values().chain(self.topics.values()).for_each(|bell| bell.notify.notify_waiters());
    }

    fn turn(&mut self, seq: i64) -> OwnedNotified {
        self.turns.entry(seq).or_default().clone().notified_owned()
    }
}

impl Core {
    /// Registers interest in a roster whose row lists us among its watchers.
    fn watch_roster(&mut self, id: i64) -> OwnedNotified {
        let bell = self.bells.rosters.entry(id).or_default();
        bell.idle = false;
        bell.notify.clone().notified_owned()
    }

    /// Registers interest in a topic, in the database too if this process has none yet.
    pub(crate) fn watch_topic(&mut self, id: i64) -> Outcome<OwnedNotified> {
        if !self.bells.topics.contains_key(&id) {
            self.write(|work| {
                let mut insert = work.db.prepare_cached("INSERT OR IGNORE INTO readers VALUES (?1, ?2)")?;
                insert.execute([id, work.me])?;
                Ok(())
            })?;
        }
        let bell = self.bells.topics.entry(id).or_default();
        bell.idle = false;
        Ok(bell.notify.clone().notified_owned())
    }

    /// Takes back what nobody has waited for since the last tick, so that others stop poking us for it.
    pub(crate) fn forget_idle(&mut self) -> Outcome<()> {
        self.bells.turns.retain(|_, notify| Arc::strong_count(notify) > 1);
        self.bells.admitted.clear();
        let rosters = take_idle(&mut self.bells.rosters);
        let topics = take_idle(&mut self.bells.topics);
        if rosters.is_empty() && topics.is_empty() {
            return Ok(());
        }
        self.write(|work| {
            for id in rosters {
                let mut delete = work.db.prepare_cached("DELETE FROM watchers WHERE roster = ?1 AND peer = ?2")?;
                delete.execute([id, work.me])?;
                work.idle.push(id);
            }
            for id in topics {
                let mut delete = work.db.prepare_cached("DELETE FROM readers WHERE topic = ?1 AND peer = ?2")?;
                delete.execute([id, work.me])?;
            }
            Ok(())
        })
    }
}

fn take_idle(bells: &mut HashMap<i64, Bell>) -> Vec<i64> {
    let mut taken = Vec::new();
    bells.retain(|id, bell| {
        let unused = Arc::strong_count(&bell.notify) == 1;
        let keep = !(unused && bell.idle);
        bell.idle = unused;
        if !keep {
            taken.push(*id);
        }
        keep
    });
    taken
}

/// Whether the entry of a ticket is admitted.
pub(crate) fn look_at_turn(core: &mut Core, caller: &Caller, roster: &Roster, ticket: &Ticket) -> Outcome<Look<()>> {
    let seq = ticket.seq.0 as i64;
    if core.bells.admitted.remove(&seq) {
        return Ok(Look::Ready(()));
    }
    // One statement, since each takes and gives back the locks of a reader.
    let mut select = core.db.prepare_cached(
        "SELECT admitted FROM entries WHERE mode = ?4 AND seq = ?5 AND nonce = ?6
         AND roster = (SELECT id FROM rosters WHERE namespace = ?1 AND kind = ?2 AND name = ?3)",
    )?;
    let (kind, name) = (roster.kind.as_str(), roster.name.as_bytes());
    let key = params![caller.namespace, kind, name, ticket.mode.as_str(), seq, ticket.nonce.0.to_be_bytes()];
    match select.query_row(key, |row| row.get(0)).optional()? {
        None => Err(not_held().into()),
        Some(true) => Ok(Look::Ready(())),
        Some(false) => Ok(Look::Wait(core.bells.turn(seq))),
    }
}

/// The content of a roster, unless it is still that of `newer_than`.
pub(crate) fn look_at_roster(
    core: &mut Core,
    caller: &Caller,
    roster: &Roster,
    newer_than: Option<Version>,
) -> Outcome<Look<Snapshot>> {
    let mut watched = match newer_than {
        Some(_) => watched_line(core, caller, roster)?,
        None => None,
    };
    loop {
        let (snapshot, peers) = read(core, caller, roster)?;
        if core.bury_dead(&peers)? {
            continue;
        }
        if newer_than != Some(snapshot.version) {
            return Ok(Look::Ready(snapshot));
        }
        // Others may have changed it before they knew that we watch, so it is read once more after that.
        match watched {
            Some(id) => return Ok(Look::Wait(core.watch_roster(id))),
            None => {
                let id = line_to_watch(core, caller, roster)?;
                // From here on the tick knows of it, whether we come to wait or not.
                drop(core.watch_roster(id));
                watched = Some(id);
            }
        }
    }
}

/// The id of the row of a roster that others know to be watched by us.
fn watched_line(core: &Core, caller: &Caller, roster: &Roster) -> Outcome<Option<i64>> {
    let line = Line::find(&core.db, &caller.namespace, roster)?;
    Ok(line.map(|line| line.id).filter(|id| core.bells.rosters.contains_key(id)))
}

/// The id of the row of a roster that is about to be watched; it stays as long as somebody watches.
fn line_to_watch(core: &mut Core, caller: &Caller, roster: &Roster) -> Outcome<i64> {
    core.write(|work| {
        let line = Line::find(work.db, &caller.namespace, roster)?;
        let line = line.map_or_else(|| Line::make(work.db, &caller.namespace, roster), Ok)?;
        work.db.prepare_cached("INSERT OR IGNORE INTO watchers VALUES (?1, ?2)")?.execute([line.id, work.me])?;
        Ok(line.id)
    })
}

/// Reads a roster at one moment, with the peers that own its entries.
fn read(core: &Core, caller: &Caller, roster: &Roster) -> Outcome<(Snapshot, Vec<i64>)> {
    // One read transaction, so that all belongs to one moment.
    let db = core.db.unchecked_transaction()?;
    let Some(line) = Line::find(&db, &caller.namespace, roster)? else { return Ok(Default::default()) };
    let mut select = db.prepare_cached(
        "SELECT seq, nonce, key, mode, permits, value, peer
         FROM entries JOIN sessions ON sessions.id = entries.session WHERE entries.roster = ?1 ORDER BY seq",
    )?;
    let rows = select.query_map(params![line.id], |row| {
        let entry = Entry {
            seq: Seq(row.get::<_, i64>(0)? as u64),
            nonce: Nonce(u128::from_be_bytes(row.get(1)?)),
            key: row.get(2)?,
            mode: read_mode(row, 3)?,
            limit: row.get::<_, u32>(4)?.try_into().unwrap_or(NonZeroU32::MIN),
            value: row.get(5)?,
        };
        Ok((entry, row.get::<_, i64>(6)?))
    })?;
    let (mut entries, mut peers) = (Vec::new(), Vec::new());
    for row in rows {
        let (entry, peer) = row?;
        entries.push(entry);
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let version = version_of(line.declared, &entries);
    Ok((Snapshot { version, declared: line.declared, entries }, peers))
}

/// A digest of the content: a stamp that costs the writers nothing. Versions are compared inside one process only.
fn version_of(declared: bool, entries: &[Entry]) -> Version {
    if !declared && entries.is_empty() {
        // As without a row.
        return Version::default();
    }
    let mut hasher = DefaultHasher::new();
    declared.hash(&mut hasher);
    for entry in entries {
        (entry.seq, entry.nonce, &entry.value).hash(&mut hasher);
    }
    Version(hasher.finish().max(1))
}
