//! Leaving a roster: by the ticket, by the nonce of an `enter` whose outcome is unknown, or by eviction.
//!
//! Each is one transaction. It removes the row, marks the waiting entries that are admitted now, and notifies their
//! processes after the commit.

use tooz_core::driver::{Nonce, Seq, Ticket};

use crate::db::objects::Target;
use crate::db::rosters::{RosterRow, number_of};
use crate::error::Outcome;
use crate::process::state::State;

pub(crate) fn leave(state: &mut State, target: &Target, ticket: &Ticket) -> Outcome<bool> {
    let own = state.session(target.session)?.entry(ticket);
    let left = state.write(|tx| {
        let row = RosterRow::find(tx.db, target)?.filter(|row| own.is_some_and(|own| own.roster == row.id));
        let removed = row.map_or(Ok(false), |row| row.remove(tx, tx.me(), &[(ticket.mode, number_of(ticket.seq))]))?;
        // If the entry was still there, no other process considers this one dead.
        if removed { Ok(true) } else { tx.check_alive().map(|()| false) }
    })?;
    if left {
        state.session(target.session)?.entries.remove(&ticket.nonce);
    }
    Ok(left)
}

/// Requests are executed in their order, so an `enter` that was sent before has been executed by now; a later one finds
/// the tombstone.
pub(crate) fn withdraw(state: &mut State, target: &Target, nonce: Nonce) -> Outcome<()> {
    let session = state.session(target.session)?;
    session.tombstones.insert(nonce);
    if let Some(own) = session.entries.get(&nonce).copied() {
        leave(state, target, &own.ticket)?;
        state.session(target.session)?.entries.remove(&nonce);
    }
    Ok(())
}

pub(crate) fn evict(state: &mut State, target: &Target, seq: Seq) -> Outcome<bool> {
    state.write(|tx| {
        let Some(row) = RosterRow::find(tx.db, target)? else { return Ok(false) };
        let Some(entry) = row.entry_at(tx.db, seq)? else { return Ok(false) };
        row.evict(tx, &entry)?;
        Ok(true)
    })
}
