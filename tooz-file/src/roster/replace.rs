//! Replacing the value of an entry, which keeps its position.

use rusqlite::params;
use tooz_core::driver::support::not_held;
use tooz_core::driver::{Roster, Ticket};

use super::Caller;
use crate::db::rows::{RosterRow, number_of};
use crate::error::Outcome;
use crate::process::state::{Durability, State};

pub(crate) fn replace(
    state: &mut State,
    caller: &Caller,
    roster: &Roster,
    ticket: &Ticket,
    value: &[u8],
) -> Outcome<()> {
    state.write(Durability::Process, |tx| {
        let row = RosterRow::find(tx.db, &caller.namespace, roster)?.ok_or_else(not_held)?;
        let mut update = tx.db.prepare_cached(
            "UPDATE entries SET value = ?6 WHERE roster = ?1 AND mode = ?2 AND seq = ?3 AND nonce = ?4 AND session = ?5",
        )?;
        let (mode, seq, nonce) = (ticket.mode.as_str(), number_of(ticket.seq), ticket.nonce.0.to_be_bytes());
        if update.execute(params![row.id, mode, seq, nonce, caller.session, value])? == 0 {
            return Err(not_held().into());
        }
        row.notify_watchers(tx)
    })
}
