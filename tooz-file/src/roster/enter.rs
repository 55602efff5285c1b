//! Entering a roster.
//!
//! - One transaction finds the entries that block the new one, takes the next number of the sequence and adds the entry
//!   with its admission. This is the recipe of a ticket lock, with a row for each ticket.
//! - If a blocking entry belongs to a dead process, the process is removed in transactions of bounded size first.
//! - A repeated `enter` finds its entry by the ticket that the session remembers for its nonce.

use std::num::NonZeroU32;

use rusqlite::params;
use tooz_core::driver::support::{group_not_created, member_already_exists, withdrawn};
use tooz_core::driver::{IfBlocked, IfTaken, Mode, NewEntry, Nonce, Seq, Standing, Ticket};

use crate::db::objects::{self, Target};
use crate::db::rosters::{Changed, EntryRow, RosterRow, seq_of};
use crate::db::sequence;
use crate::db::transaction::Transaction;
use crate::error::{Fault, Outcome};
use crate::process::state::{OwnEntry, State};

/// How many of the entries that block a new one are checked for a dead owner. The peers that watch an owner check it, too.
const CHECKED: usize = 16;

/// A [`NewEntry`] that owns its data, so that it can wait in a queue.
#[derive(Clone, Debug)]
pub(crate) struct OwnedEntry {
    nonce: Nonce,
    key: Option<(Vec<u8>, IfTaken)>,
    mode: Mode,
    limit: NonZeroU32,
    if_blocked: IfBlocked,
    needs_declared: bool,
    value: Vec<u8>,
}

impl From<NewEntry<'_>> for OwnedEntry {
    fn from(entry: NewEntry<'_>) -> Self {
        let key = entry.unique_key().map(|(key, if_taken)| (key.to_vec(), if_taken));
        let NewEntry { nonce, mode, limit, if_blocked, needs_declared, value, .. } = entry;
        Self { nonce, key, mode, limit, if_blocked, needs_declared, value: value.to_vec() }
    }
}

pub(crate) fn enter(state: &mut State, target: &Target, new: &OwnedEntry) -> Outcome<Standing> {
    let session = state.session(target.session)?;
    if session.tombstones.contains(new.nonce) {
        return Err(withdrawn().into());
    }
    let known = session.entries.get(&new.nonce).copied();
    let (roster, standing) = state.write(|tx| try_enter(tx, target, new, known))?;
    if let Standing::Admitted(ticket) | Standing::Waiting { ticket, .. } = standing {
        state.session(target.session)?.entries.insert(new.nonce, OwnEntry { roster, ticket });
    }
    Ok(standing)
}

/// Returns the standing with the id of the roster.
fn try_enter(
    tx: &mut Transaction<'_>,
    target: &Target,
    new: &OwnedEntry,
    known: Option<OwnEntry>,
) -> Outcome<(i64, Standing)> {
    let row = RosterRow::find(tx.db, target)?;
    // An entry in a roster implies that it is declared, since a roster with entries cannot be retracted.
    if new.needs_declared && !row.is_some_and(|row| row.declared) {
        return Err(group_not_created().into());
    }
    let mut blocked_by = None;
    if let Some(row) = row.filter(|row| row.occupied) {
        if let Some(known) = known
            && let Some(entry) = row.entry_at(tx.db, known.ticket.seq)?.filter(|entry| entry.ticket == known.ticket)
        {
            tx.check_alive()?;
            return Ok((row.id, row.standing(tx.db, &entry)?));
        }
        claim_key(tx, &row, new)?;
        blocked_by = blocker(tx, &row, new)?;
    }
    if let (Some(blocked_by), IfBlocked::Withdraw) = (blocked_by, new.if_blocked) {
        tx.check_alive()?;
        return Ok((0, Standing::Withdrawn { blocked_by }));
    }
    let row = row.map_or_else(|| RosterRow::insert(tx.db, target), Ok)?;
    let ticket = insert(tx, &row, new, blocked_by.is_none())?;
    Ok((row.id, ticket.standing(blocked_by)))
}

/// Evicts the entry with the unique key of the new one, or fails if the new one does not take over.
fn claim_key(tx: &mut Transaction<'_>, row: &RosterRow, new: &OwnedEntry) -> Outcome<()> {
    let Some((key, if_taken)) = &new.key else { return Ok(()) };
    match row.entry_of_key(tx.db, key)? {
        None => Ok(()),
        Some(owner) if *if_taken == IfTaken::TakeOver => row.evict(tx, &owner),
        Some(owner) => {
            check_owners(tx, &[owner])?;
            Err(member_already_exists().into())
        }
    }
}

/// What blocks an entry at the end of the roster, by the admission rule.
fn blocker(tx: &Transaction<'_>, row: &RosterRow, new: &OwnedEntry) -> Outcome<Option<Seq>> {
    let blockers = row.blockers(tx.db, new.mode, i64::MAX, new.limit.get())?;
    if blockers.len() < new.limit.get() as usize {
        return Ok(None);
    }
    check_owners(tx, &blockers)?;
    Ok(blockers.first().map(|nearest| nearest.ticket.seq))
}

/// Fails if dead processes are among the owners of the first entries.
fn check_owners(tx: &Transaction<'_>, entries: &[EntryRow]) -> Outcome<()> {
    let mut owners: Vec<i64> = entries.iter().take(CHECKED).map(|entry| entry.peer).collect();
    owners.sort_unstable();
    owners.dedup();
    let dead = tx.presence.dead_among(&owners);
    if dead.is_empty() { Ok(()) } else { Err(Fault::Dead(dead)) }
}

fn insert(tx: &mut Transaction<'_>, row: &RosterRow, new: &OwnedEntry, admitted: bool) -> Outcome<Ticket> {
    let OwnedEntry { nonce, mode, limit, .. } = *new;
    row.raise_limit(tx.db, limit.get())?;
    let seq = sequence::next(tx.db, tx.me())?;
    let mut insert = tx.db.prepare_cached(
        "INSERT INTO entries (seq, roster, peer, nonce, key, mode, permits, admitted, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    insert.execute(params![
        seq,
        row.id,
        tx.me(),
        nonce.0.to_be_bytes(),
        new.key.as_ref().map(|(key, _)| key),
        mode.as_str(),
        limit.get(),
        admitted,
        new.value
    ])?;
    row.changed(tx, Changed::Entered(mode, seq))?;
    if !row.occupied {
        objects::notify_new_name(tx, row.id)?;
    }
    Ok(Ticket { seq: seq_of(seq), nonce, mode, limit })
}
