//! Entering a roster.
//!
//! - One transaction finds the entries that block the new one, takes the next number of the sequence, which only a live
//!   peer gets, and adds the entry with its admission (the recipe of a ticket lock, with a row for each ticket).
//! - If a blocking entry belongs to a dead process, the process is removed in transactions of bounded size first.
//! - A repeated `enter` finds its entry by the ticket that the session remembers for its nonce.

use rusqlite::params;
use tooz_core::driver::support::{group_not_created, member_already_exists, withdrawn};
use tooz_core::driver::{IfBlocked, IfTaken, Mode, NewEntry, Nonce, Roster, Seq, Standing, Ticket};

use super::Caller;
use crate::db::rows::{EntryRow, RosterRow, number_of, seq_of};
use crate::db::transaction::{NAMES, Transaction};
use crate::error::Outcome;
use crate::process::state::{Attempt, Durability, State};

/// How many of the entries that block a new one are checked for a dead owner. Peers that watch the owner check it too.
const CHECKED: usize = 16;

/// A [`NewEntry`] that owns its data, so that it can wait in a queue.
#[derive(Clone, Debug)]
pub(crate) struct OwnedEntry {
    nonce: Nonce,
    key: Option<(Vec<u8>, IfTaken)>,
    mode: Mode,
    permits: u32,
    if_blocked: IfBlocked,
    needs_declared: bool,
    value: Vec<u8>,
}

impl From<NewEntry<'_>> for OwnedEntry {
    fn from(entry: NewEntry<'_>) -> Self {
        let key = entry.unique_key().map(|(key, if_taken)| (key.to_vec(), if_taken));
        let NewEntry { nonce, mode, if_blocked, needs_declared, .. } = entry;
        let (permits, value) = (entry.limit.get(), entry.value.to_vec());
        Self { nonce, key, mode, permits, if_blocked, needs_declared, value }
    }
}

/// What the roster holds for a new entry.
enum EnterCheck {
    /// The entry is in the roster already.
    Found(Standing),
    /// The entry can be added; the roster has a row or not, and this entry blocks it or none.
    Free(Option<RosterRow>, Option<Seq>),
    /// Dead processes own entries that block it.
    Dead(Vec<i64>),
}

pub(crate) fn enter(state: &mut State, caller: &Caller, roster: &Roster, new: &OwnedEntry) -> Outcome<Standing> {
    let session = state.session(caller.session)?;
    if session.tombstones.contains(new.nonce) {
        return Err(withdrawn().into());
    }
    let known = session.tickets.get(&new.nonce).copied();
    state.reserve_numbers()?;
    let standing = state.write_past_dead(Durability::Process, |tx| try_enter(tx, caller, roster, new, known))?;
    if let Standing::Admitted(ticket) | Standing::Waiting { ticket, .. } = standing {
        state.session(caller.session)?.tickets.insert(new.nonce, ticket);
    }
    Ok(standing)
}

fn try_enter(
    tx: &mut Transaction<'_>,
    caller: &Caller,
    roster: &Roster,
    new: &OwnedEntry,
    known: Option<Ticket>,
) -> Outcome<Attempt<Standing>> {
    let (row, blocked_by) = match check(tx, caller, roster, new, known)? {
        EnterCheck::Found(standing) => return Ok(Attempt::Done(standing)),
        EnterCheck::Dead(peers) => return Ok(Attempt::Dead(peers)),
        EnterCheck::Free(row, blocked_by) => (row, blocked_by),
    };
    if let (Some(blocked_by), IfBlocked::Withdraw) = (blocked_by, new.if_blocked) {
        tx.check_alive()?;
        return Ok(Attempt::Done(Standing::Withdrawn { blocked_by }));
    }
    let row = row.map_or_else(|| RosterRow::insert(tx.db, &caller.namespace, roster), Ok)?;
    let seq = tx.next_seq()?;
    row.raise_limit(tx.db, new.permits)?;
    let ticket = insert(tx, &row, caller, new, seq, blocked_by.is_none())?.ticket();
    row.notify_watchers(tx)?;
    if !row.occupied {
        tx.notify_watchers(NAMES)?;
    }
    Ok(Attempt::Done(match blocked_by {
        None => Standing::Admitted(ticket),
        Some(blocked_by) => Standing::Waiting { ticket, blocked_by },
    }))
}

fn check(
    tx: &mut Transaction<'_>,
    caller: &Caller,
    roster: &Roster,
    new: &OwnedEntry,
    known: Option<Ticket>,
) -> Outcome<EnterCheck> {
    let Some(row) =
        RosterRow::find(tx.db, &caller.namespace, roster)?.filter(|row| !new.needs_declared || row.declared)
    else {
        // An entry in a roster implies that it is declared, since a roster with entries cannot be retracted.
        return if new.needs_declared { Err(group_not_created().into()) } else { Ok(EnterCheck::Free(None, None)) };
    };
    if let Some(ticket) = known
        && let Some(entry) = row.entry(tx.db, ticket.mode, number_of(ticket.seq))?
        && (entry.nonce, entry.session) == (new.nonce, caller.session)
    {
        return Ok(EnterCheck::Found(row.standing(tx.db, &entry)?));
    }
    if let Some((key, if_taken)) = &new.key
        && let Some(owner) = row.entry_of_key(tx.db, key)?
    {
        if *if_taken == IfTaken::Refuse {
            let dead = dead_owners(tx, &[owner])?;
            return if dead.is_empty() { Err(member_already_exists().into()) } else { Ok(EnterCheck::Dead(dead)) };
        }
        row.evict(tx, &owner)?;
    }
    check_blockers(tx, row, new)
}

/// Applies the admission rule to an entry behind all others.
fn check_blockers(tx: &Transaction<'_>, row: RosterRow, new: &OwnedEntry) -> Outcome<EnterCheck> {
    if !row.occupied {
        return Ok(EnterCheck::Free(Some(row), None));
    }
    let blockers = row.blockers(tx.db, new.mode, i64::MAX, new.permits)?;
    if blockers.len() < new.permits as usize {
        return Ok(EnterCheck::Free(Some(row), None));
    }
    let dead = dead_owners(tx, &blockers)?;
    match blockers.first() {
        nearest if dead.is_empty() => Ok(EnterCheck::Free(Some(row), nearest.map(|nearest| seq_of(nearest.seq)))),
        _ => Ok(EnterCheck::Dead(dead)),
    }
}

/// The dead processes among the owners of the first entries.
fn dead_owners(tx: &Transaction<'_>, entries: &[EntryRow]) -> Outcome<Vec<i64>> {
    let mut peers = Vec::new();
    for entry in entries.iter().take(CHECKED) {
        peers.extend(tx.peer_of(entry.session)?.filter(|peer| !peers.contains(peer)));
    }
    Ok(tx.dead_among(&peers))
}

fn insert(
    tx: &mut Transaction<'_>,
    row: &RosterRow,
    caller: &Caller,
    new: &OwnedEntry,
    seq: i64,
    admitted: bool,
) -> Outcome<EntryRow> {
    let mut insert = tx.db.prepare_cached(
        "INSERT INTO entries (seq, roster, session, nonce, key, mode, permits, admitted, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    insert.execute(params![
        seq,
        row.id,
        caller.session,
        new.nonce.0.to_be_bytes(),
        new.key.as_ref().map(|(key, _)| key),
        new.mode.as_str(),
        new.permits,
        admitted,
        new.value
    ])?;
    let OwnedEntry { nonce, mode, permits, .. } = *new;
    Ok(EntryRow { seq, session: caller.session, nonce, mode, permits, admitted })
}
