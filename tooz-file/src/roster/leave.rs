//! Leaving a roster: by the ticket, by the nonce of an `enter` whose outcome is unknown, or by eviction.
//!
//! Each is one transaction. It removes the row, marks the waiting entries that are admitted now, and notifies their
//! processes after the commit.

use tooz_core::driver::{Nonce, Roster, Seq, Ticket};

use super::Caller;
use crate::db::rows::{RosterRow, number_of};
use crate::error::Outcome;
use crate::process::state::{Durability, State};

pub(crate) fn leave(state: &mut State, caller: &Caller, roster: &Roster, ticket: &Ticket) -> Outcome<bool> {
    let left = state.write_unchecked(Durability::Process, |tx| {
        let row = RosterRow::find(tx.db, &caller.namespace, roster)?;
        let removed = row.map_or(Ok(false), |row| row.remove(tx, caller.session, ticket))?;
        if !removed {
            tx.check_alive()?;
        }
        Ok(removed)
    })?;
    if left {
        state.session(caller.session)?.tickets.remove(&ticket.nonce);
    }
    Ok(left)
}

/// Requests are executed in their order, so an `enter` that was sent before has been executed by now; a later one finds
/// the tombstone.
pub(crate) fn withdraw(state: &mut State, caller: &Caller, roster: &Roster, nonce: Nonce) -> Outcome<()> {
    let session = state.session(caller.session)?;
    session.tombstones.insert(nonce);
    if let Some(ticket) = session.tickets.get(&nonce).copied() {
        leave(state, caller, roster, &ticket)?;
        state.session(caller.session)?.tickets.remove(&nonce);
    }
    Ok(())
}

pub(crate) fn evict(state: &mut State, caller: &Caller, roster: &Roster, seq: Seq) -> Outcome<bool> {
    state.write(Durability::Process, |tx| {
        let Some(row) = RosterRow::find(tx.db, &caller.namespace, roster)? else { return Ok(false) };
        let Some(entry) = row.entry_at(tx.db, number_of(seq))? else { return Ok(false) };
        row.evict(tx, &entry)?;
        Ok(true)
    })
}
