//! Entering a roster.
//!
//! - The driver creates the entry and lists the roster in one round trip. The listing says which entry blocks the new one.
//! - It lists the roster first if an earlier attempt may have created the entry, and for a `try`, so that one that is refused
//!   wakes no client.
//! - Of two entries with one unique key the later one is removed, or removes the earlier one. Until then only the earlier one
//!   [counts](Queue::counting). Without a listing the key could be guarded only by a znode that it names. Such a znode would
//!   have to be removed and made anew by a take-over, and a late `leave` of the former holder would remove the new one.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::join;
use tooz_core::driver::support::{group_not_created, member_already_exists, not_held};
use tooz_core::driver::{IfBlocked, IfTaken, NewEntry, Nonce, Roster, Seq, Standing, Ticket};

use super::queue::{Queue, seq};
use super::removal_watch::report_removal;
use super::rosters::Rosters;
use crate::client::{CreateMode, Watch};
use crate::error::{Answer, Fault, session_lost};
use crate::layout::{UNCHANGED, UNDECLARED, child, new_entry};
use crate::limits::check_size;
use crate::own_entries::PlacedEntry;

/// An entry that exists, in the roster as it was listed.
#[derive(Debug)]
struct Arrival {
    queue: Queue,
    index: usize,
    /// Known if the entry was just created.
    seq: Option<Seq>,
}

/// What a listing before the create has shown.
#[derive(Debug)]
enum Precheck {
    Create,
    Exists(Arrival),
    Refused(Standing),
}

impl Rosters {
    pub(crate) async fn enter(self: &Arc<Self>, roster: &Roster, new: NewEntry<'_>) -> Answer<Standing> {
        self.client.check()?;
        let parent = self.layout.roster(roster);
        check_size(&parent, new.value)?;
        let attempts = self.own.attempt(new.nonce, &parent);
        let _one_at_a_time = attempts.lock().await;
        // Meanwhile the entry may have been withdrawn and forgotten.
        self.own.attempt(new.nonce, &parent);
        self.cleanup.used(&parent);
        let outcome = self.enter_at(&parent, &new).await;
        match &outcome {
            // Core repeats the attempt or withdraws the entry.
            Err(error) if error.is_retryable() || error.is_session_lost() => return outcome,
            Err(_) => match self.abandon(&parent, new.nonce).await {
                Err(unknown) if unknown.is_retryable() => return Err(unknown),
                _ => {}
            },
            Ok(Standing::Withdrawn { .. }) => {}
            Ok(_) => return outcome,
        }
        self.own.forget(new.nonce);
        outcome
    }

    /// Removes what an attempt that failed for good may have created.
    async fn abandon(&self, roster: &str, nonce: Nonce) -> Answer<()> {
        if self.own.may_exist(nonce).unwrap_or(false) {
            self.own.set_leaving(nonce);
            self.remove_by_nonce(roster, &HashSet::from([nonce])).await?;
        }
        Ok(())
    }

    /// Repeats the steps until the roster has not changed between them.
    async fn enter_at(self: &Arc<Self>, roster: &str, new: &NewEntry<'_>) -> Answer<Standing> {
        loop {
            let arrival = match self.precheck(roster, new).await? {
                Precheck::Refused(standing) => return Ok(standing),
                Precheck::Exists(arrival) => Some(arrival),
                Precheck::Create => self.create_entry(roster, new).await?,
            };
            let Some(arrival) = arrival else { continue };
            if let Some(standing) = self.settle(roster, new, arrival).await? {
                return Ok(standing);
            }
        }
    }

    async fn precheck(&self, roster: &str, new: &NewEntry<'_>) -> Answer<Precheck> {
        let may_exist = self.own.may_exist(new.nonce)?;
        if !may_exist && new.if_blocked == IfBlocked::Wait {
            return Ok(Precheck::Create);
        }
        let nearest_blocker = |queue: &Queue| match new.if_blocked {
            IfBlocked::Withdraw => {
                queue.blockers(queue.len(), new.mode, new.limit).first().map(|listed| listed.name.clone())
            }
            _ => None,
        };
        let mut queue = self.list(roster).await?;
        if may_exist || nearest_blocker(&queue).is_some() {
            // A follower may lag behind, but a refusal and the standing of an existing entry must be up to date.
            queue = self.list_synced(roster).await?;
        }
        if let Some(index) = queue.find(new.nonce) {
            return Ok(Precheck::Exists(Arrival { queue, index, seq: None }));
        }
        let Some(nearest) = nearest_blocker(&queue) else { return Ok(Precheck::Create) };
        let stat = self.client.exists(&child(roster, &nearest)).await?;
        let refused = |blocked_by| Precheck::Refused(Standing::Withdrawn { blocked_by });
        Ok(stat.map_or(Precheck::Create, |stat| refused(seq(&stat))))
    }

    /// Creates the entry and lists the roster in one round trip. Returns `None` if the attempt must be repeated.
    async fn create_entry(&self, roster: &str, new: &NewEntry<'_>) -> Answer<Option<Arrival>> {
        let path = new_entry(roster, new);
        if let Err(error) = self.own.reserve(new.nonce, &path) {
            // A close forgets the entries that are under way.
            self.client.check()?;
            return Err(error.into());
        }
        let (created, queue, declared) = join!(
            self.client.create(&path, new.value, CreateMode::EphemeralSequential),
            self.list(roster),
            self.is_declared_if_needed(roster, new)
        );
        let (path, stat) = match created {
            Err(Fault::NoNode) if new.needs_declared => return Err(group_not_created().into()),
            Err(Fault::NoNode) => {
                self.client.create_all(roster).await?;
                return Ok(None);
            }
            created => created?,
        };
        if stat.owner != self.session {
            self.client.end("the client crate has replaced it");
            return Err(session_lost("the client crate has replaced it").into());
        }
        let queue = match (queue, declared) {
            (Ok(queue), Ok(true)) => queue,
            (queue, declared) => {
                let error = declared.err().or(queue.err()).unwrap_or_else(|| group_not_created().into());
                if !error.is_retryable() && !error.is_session_lost() {
                    self.client.delete_if_exists(&path).await?;
                }
                return Err(error);
            }
        };
        Ok(queue.find(new.nonce).map(|index| Arrival { queue, index, seq: Some(seq(&stat)) }))
    }

    async fn is_declared_if_needed(&self, roster: &str, new: &NewEntry<'_>) -> Answer<bool> {
        if !new.needs_declared {
            return Ok(true);
        }
        Ok(self.client.exists(roster).await?.is_some_and(|stat| stat.version != UNDECLARED))
    }

    /// Decides what becomes of an entry that exists. Returns `None` if the roster has changed meanwhile.
    async fn settle(self: &Arc<Self>, roster: &str, new: &NewEntry<'_>, arrival: Arrival) -> Answer<Option<Standing>> {
        let Arrival { queue, index, seq: created } = arrival;
        let path = child(roster, &queue.entries()[index].name);
        self.settle_key(roster, new, &queue, index, &path).await?;
        // A repeated attempt may come with another value than the first.
        let value = created.filter(|_| new.limit.get() > 1).map(|_| new.value.into());
        let created = match created {
            Some(seq) => Some(seq),
            None => self.client.exists(&path).await?.map(|stat| seq(&stat)),
        };
        let Some(ticket) = created.map(|seq| new.ticket(seq)) else { return Ok(None) };
        let blockers = queue.blockers(index, new.mode, new.limit);
        let Some(nearest) = blockers.first() else {
            self.place(ticket, path, value, None);
            self.announce(roster, &queue, index);
            return Ok(Some(Standing::Admitted(ticket)));
        };
        let (wakeup, _) = self.own.waiting(new.nonce).ok_or_else(not_held)?;
        let predecessor = self.client.data_watched(&child(roster, &nearest.name), &wakeup).await?;
        let Some((_, stat, watch)) = predecessor else { return Ok(None) };
        let blocked_by = seq(&stat);
        if new.if_blocked == IfBlocked::Withdraw {
            self.client.delete_if_exists(&path).await?;
            return Ok(Some(Standing::Withdrawn { blocked_by }));
        }
        let to_watch = Queue::to_watch(&blockers, new.mode, new.limit);
        let is_enough = new.limit.get() == 1 || stat.version == UNCHANGED;
        let is_right = is_enough && to_watch.is_some_and(|listed| listed.name == nearest.name);
        self.place(ticket, path, value, is_right.then_some(watch));
        Ok(Some(Standing::Waiting { ticket, blocked_by }))
    }

    /// Removes an earlier entry with the same unique key, or the new entry.
    async fn settle_key(
        &self,
        roster: &str,
        new: &NewEntry<'_>,
        queue: &Queue,
        index: usize,
        path: &str,
    ) -> Answer<()> {
        let Some((key, if_taken)) = new.unique_key() else { return Ok(()) };
        let earlier = queue.with_key(index, key);
        if if_taken == IfTaken::Refuse && !earlier.is_empty() {
            self.client.delete_if_exists(path).await?;
            return Err(member_already_exists().into());
        }
        for listed in earlier {
            self.client.delete_if_exists(&child(roster, &listed.name)).await?;
        }
        Ok(())
    }

    fn place(self: &Arc<Self>, ticket: Ticket, path: String, value: Option<Arc<[u8]>>, predecessor: Option<Watch>) {
        let placed = PlacedEntry { path: path.clone(), seq: ticket.seq, value };
        let watch = || tokio::spawn(report_removal(Arc::downgrade(self), ticket.nonce, path)).abort_handle();
        self.own.place(ticket.nonce, placed, predecessor, watch);
    }
}
