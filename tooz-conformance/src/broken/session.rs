//! Sessions with a fault. Calls that the fault does not concern go to the memory driver unchanged.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tooz_core::driver::support::{lock, member_already_exists, not_held, withdrawn};
use tooz_core::driver::{
    Follow, FollowBySnapshots, IfBlocked, IfTaken, Key, Kind, Loss, Mode, NewEntry, NewName, Nonce, Roster, Seq,
    Session, Snapshot, Standing, Ticket, Topics, Version,
};
use tooz_core::{ErrorKind, Name, Result};

use super::answers;
use super::fault::FaultKind as F;
use super::follower::BrokenFollower;
use super::marked::{UNREPORTED, UNWOKEN};

#[derive(Debug)]
pub(super) struct BrokenSession {
    pub(super) inner: Arc<dyn Session>,
    pub(super) fault: Option<F>,
    /// Standings by roster and nonce, for a driver that remembers them.
    standings: Mutex<HashMap<(Roster, Nonce), Standing>>,
    retracted: Mutex<Vec<Roster>>,
    /// The last nonce that was withdrawn.
    withdrawn: Mutex<Option<Nonce>>,
    pub(super) timeout: Duration,
    pub(super) renewed: Notify,
    /// How many reads wait for a message.
    pub(super) readers: AtomicUsize,
    closed: AtomicBool,
}

impl BrokenSession {
    pub(super) fn new(inner: Arc<dyn Session>, fault: Option<F>, timeout: Duration) -> Self {
        if fault == Some(F::NeverExpires) {
            let inner = inner.clone();
            tokio::spawn(async move {
                while inner.renew().await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
        let (standings, retracted, withdrawn, renewed, readers, closed) = <_>::default();
        Self { inner, fault, standings, retracted, withdrawn, timeout, renewed, readers, closed }
    }

    /// The roster that is used in place of `roster`.
    fn roster(&self, roster: &Roster) -> Roster {
        let mut roster = roster.clone();
        match self.fault {
            Some(F::MixesKinds) => roster.kind = Kind::Lock,
            Some(F::FoldsCase | F::TruncatesNames) => roster.name = self.name(&roster.name),
            _ => {}
        }
        roster
    }

    /// The name that is used in place of `name`.
    pub(super) fn name(&self, name: &Name) -> Name {
        let bytes = name.as_bytes();
        let used = match self.fault {
            Some(F::FoldsCase) => Name::new(bytes.to_ascii_lowercase()),
            Some(F::TruncatesNames) => Name::new(&bytes[..bytes.len().min(63)]),
            _ => Ok(name.clone()),
        };
        used.unwrap_or_else(|_| name.clone())
    }

    /// The ticket of the memory driver for a ticket that the caller has.
    async fn ticket(&self, roster: &Roster, ticket: &Ticket) -> Result<Ticket> {
        if self.fault != Some(F::ReusesTokens) {
            return Ok(*ticket);
        }
        let entries = self.inner.snapshot(roster, None).await?.entries;
        let seq = entries.iter().find(|entry| entry.nonce == ticket.nonce).map_or(ticket.seq, |entry| entry.seq);
        Ok(Ticket { seq, ..*ticket })
    }

    /// The seq that the caller sees.
    fn shown(&self, seq: Seq) -> Seq {
        if self.fault == Some(F::ReusesTokens) { Seq(seq.0.div_ceil(2)) } else { seq }
    }

    fn falsified(&self, standing: Standing) -> Standing {
        let shown = |ticket: Ticket| Ticket { seq: self.shown(ticket.seq), ..ticket };
        match standing {
            Standing::Waiting { ticket, .. } if self.fault == Some(F::GrantsTwice) => Standing::Admitted(ticket),
            Standing::Admitted(ticket) => Standing::Admitted(shown(ticket)),
            Standing::Waiting { ticket, blocked_by } => {
                Standing::Waiting { ticket: shown(ticket), blocked_by: self.shown(blocked_by) }
            }
            other => other,
        }
    }

    /// The standing after faults that concern what blocks the entry.
    async fn remembered(&self, roster: &Roster, entry: &NewEntry<'_>, standing: Standing) -> Result<Standing> {
        match self.fault {
            Some(F::RemembersStandings) => {
                Ok(*lock(&self.standings).entry(answers::identity(roster, entry)).or_insert(standing))
            }
            Some(F::BlamesTheFirst) => {
                let entries = self.inner.snapshot(roster, None).await?.entries;
                Ok(answers::standing(self.fault, standing, &entries))
            }
            _ => Ok(standing),
        }
    }

    /// Removes the first entry of any owner.
    async fn remove_first(&self, roster: &Roster) -> Result<bool> {
        match self.inner.snapshot(roster, None).await?.entries.first() {
            Some(first) => self.inner.evict(roster, first.seq).await,
            None => Ok(false),
        }
    }

    /// Removes the entry but leaves no tombstone.
    async fn withdraw_without_tombstone(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let entries = self.inner.snapshot(roster, None).await?.entries;
        if let Some(entry) = entries.iter().find(|entry| entry.nonce == nonce) {
            let ticket = Ticket { seq: entry.seq, nonce, mode: entry.mode, limit: entry.limit };
            self.inner.leave(roster, &ticket).await?;
        }
        Ok(())
    }

    /// Refuses an entry, or marks those that it concerns.
    async fn before_enter(&self, roster: &Roster, entry: &NewEntry<'_>) -> Result<()> {
        if self.fault == Some(F::RemembersOneTombstone) && *lock(&self.withdrawn) == Some(entry.nonce) {
            return Err(withdrawn());
        }
        let Key::Unique(key, if_taken) = entry.key else { return Ok(()) };
        let entries = self.inner.snapshot(roster, None).await?.entries;
        let Some(owner) = entries.iter().find(|entry| entry.key.as_deref() == Some(key)) else { return Ok(()) };
        match (self.fault, if_taken) {
            (Some(F::RefusesItsOwnKey), IfTaken::Refuse) => return Err(member_already_exists()),
            (Some(F::TakesOverSilently), IfTaken::TakeOver) => UNREPORTED.extend([owner.nonce]),
            (Some(F::TakesOverAsleep), IfTaken::TakeOver) => UNWOKEN.extend(entries.iter().map(|entry| entry.nonce)),
            _ => {}
        }
        Ok(())
    }

    /// Whether an eviction is refused. Marks the entry if its removal is not reported.
    async fn refuses_to_evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let entries = self.inner.snapshot(roster, None).await?.entries;
        let Some(entry) = entries.iter().find(|entry| entry.seq == seq) else { return Ok(false) };
        let ticket = Ticket { seq, nonce: entry.nonce, mode: entry.mode, limit: entry.limit };
        if self.fault == Some(F::HidesOwnEvictions) && self.inner.replace(roster, &ticket, &entry.value).await.is_ok() {
            UNREPORTED.extend([entry.nonce]);
        }
        Ok(self.fault == Some(F::EvictsHoldersOnly) && self.is_blocked(roster, &ticket).await?)
    }

    async fn retract_with_entries(&self, roster: &Roster) -> Result<()> {
        while self.remove_first(roster).await? {}
        self.inner.retract(roster).await
    }
}

#[async_trait]
impl Session for BrokenSession {
    fn ttl(&self) -> Option<Duration> {
        let granted = self.inner.ttl();
        if self.fault == Some(F::PromisesTooMuch) { granted.map(|ttl| ttl * 2) } else { granted }
    }

    async fn renew(&self) -> Result<()> {
        let renewed = self.inner.renew().await;
        self.renewed.notify_waiters();
        answers::without_error(self.fault, F::RenewsTheDead, ErrorKind::SessionLost, renewed)
    }

    async fn close(&self) -> Result<()> {
        let before = self.closed.swap(true, Ordering::SeqCst);
        match self.fault {
            Some(F::KeepsTheClosed) => Ok(()),
            Some(F::ClosesOnce) if before => Err(answers::closed_twice()),
            _ => self.inner.close().await,
        }
    }

    async fn lost(&self) -> Loss {
        self.loss().await
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let mut entry = NewEntry { key: answers::key(self.fault, entry.key), ..entry };
        let withdraws = entry.if_blocked == IfBlocked::Withdraw;
        match self.fault {
            Some(F::EntersTwice) => entry.nonce = Nonce::random(),
            Some(F::LeavesTheBlocked) => entry.if_blocked = IfBlocked::Wait,
            Some(F::SharesNothing) if entry.mode == Mode::Shared => entry.mode = Mode::Exclusive,
            Some(F::IgnoresLimits) => entry.limit = NonZeroU32::MIN,
            Some(F::IgnoresKeys) => entry.key = Key::Nonce,
            Some(F::IgnoresDeclarations) => entry.needs_declared = false,
            _ => {}
        }
        self.before_enter(&self.roster(roster), &entry).await?;
        let standing = self.inner.enter(&self.roster(roster), entry).await?;
        let standing = self.remembered(roster, &entry, standing).await?;
        match (self.fault, standing) {
            (Some(F::LeavesTheBlocked), Standing::Waiting { blocked_by, .. }) if withdraws => {
                Ok(Standing::Withdrawn { blocked_by })
            }
            _ => Ok(self.falsified(standing)),
        }
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let roster = self.roster(roster);
        if self.fault == Some(F::IgnoresTickets) {
            return self.remove_first(&roster).await;
        }
        let left = self.inner.leave(&roster, &self.ticket(&roster, ticket).await?).await?;
        Ok(answers::was_done(self.fault, F::LeavesTheGone, left))
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let roster = self.roster(roster);
        match self.fault {
            Some(F::WithdrawsNothing) => Ok(()),
            Some(F::AdmitsTheWithdrawn | F::RemembersOneTombstone) => {
                *lock(&self.withdrawn) = Some(nonce);
                self.withdraw_without_tombstone(&roster, nonce).await
            }
            _ => self.inner.withdraw(&roster, nonce).await,
        }
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let roster = self.roster(roster);
        match self.fault {
            Some(F::ForgetsValues) => Ok(()),
            Some(F::ReplacesHoldersOnly) if self.is_blocked(&roster, ticket).await? => Err(not_held()),
            _ => {
                let replaced = self.inner.replace(&roster, &self.ticket(&roster, ticket).await?, value).await;
                answers::without_error(self.fault, F::ReplacesTheGone, ErrorKind::NotHeld, replaced)
            }
        }
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let roster = self.roster(roster);
        if self.refuses_to_evict(&roster, seq).await? {
            return Ok(false);
        }
        let evicted = self.inner.evict(&roster, seq).await?;
        Ok(answers::was_done(self.fault, F::EvictsTheGone, evicted))
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let roster = self.roster(roster);
        let newer_than = match (self.fault, newer_than) {
            (Some(F::LosesEvents), Some(_)) => Some(self.inner.snapshot(&roster, None).await?.version),
            (_, newer_than) => newer_than,
        };
        if self.fault == Some(F::ReadsAfterClose) && self.closed.load(Ordering::SeqCst) {
            return Ok(Snapshot::default());
        }
        let mut snapshot = answers::snapshot(self.fault, self.waiting(self.inner.snapshot(&roster, newer_than)).await?);
        snapshot.entries.iter_mut().for_each(|entry| entry.seq = self.shown(entry.seq));
        Ok(snapshot)
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        match self.fault {
            Some(fault @ (F::MissesChanges | F::RepeatsChanges | F::ReordersChanges | F::ForgetsADeparture)) => {
                Box::new(BrokenFollower::new(self.inner.follow(roster), fault))
            }
            _ => Box::new(FollowBySnapshots::new(self, roster)),
        }
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let roster = self.roster(roster);
        let ticket = self.ticket(&roster, ticket).await?;
        self.waiting(self.turn(&roster, &ticket)).await
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        let declared = self.inner.declare(&self.roster(roster)).await?;
        Ok(answers::was_done(self.fault, F::DeclaresAgain, declared))
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        let roster = self.roster(roster);
        match self.fault {
            Some(F::RetractsTheUsed) => self.retract_with_entries(&roster).await,
            _ => {
                let retracted = self.inner.retract(&roster).await;
                lock(&self.retracted).push(roster.clone());
                answers::without_error(self.fault, F::RetractsTheUndeclared, ErrorKind::GroupNotCreated, retracted)
            }
        }
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        let kind = if self.fault == Some(F::MixesKinds) { Kind::Lock } else { kind };
        let mut names = answers::names(self.fault, self.inner.declared(kind).await?);
        if self.fault == Some(F::RemembersRetracted) {
            names.extend(
                lock(&self.retracted).iter().filter(|roster| roster.kind == kind).map(|roster| roster.name.clone()),
            );
        }
        Ok(names)
    }

    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let limit = if self.fault == Some(F::IgnoresPages) { 1000 } else { limit };
        let names = self.inner.rosters(kind, after, limit).await?;
        let skipped = usize::from(self.fault == Some(F::SkipsNames) && after.is_some());
        Ok(names.into_iter().skip(skipped).collect())
    }

    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        match self.fault {
            Some(F::ForgetsNames) => {
                added(NewName::Any);
                pending().await
            }
            Some(F::ConfusesNames) => self.inner.watch_names(&|name| added(answers::of_another_kind(name))).await,
            _ => self.inner.watch_names(added).await,
        }
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}
