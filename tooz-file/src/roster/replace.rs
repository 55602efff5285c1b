//! Replacing the value of an entry, which keeps its position.

use rusqlite::params;
use tooz_core::driver::Ticket;
use tooz_core::driver::support::not_held;

use crate::db::objects::Target;
use crate::db::rosters::{Changed, RosterRow, number_of};
use crate::error::Outcome;
use crate::process::state::State;

pub(crate) fn replace(state: &mut State, target: &Target, ticket: &Ticket, value: &[u8]) -> Outcome<()> {
    let own = state.session(target.session)?.entry(ticket);
    state.write(|tx| {
        let row = RosterRow::find(tx.db, target)?.filter(|row| own.is_some_and(|own| own.roster == row.id));
        tx.check_alive()?;
        let row = row.ok_or_else(not_held)?;
        let seq = number_of(ticket.seq);
        let mut update =
            tx.db.prepare_cached("UPDATE entries SET value = ?4 WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
        if update.execute(params![row.id, ticket.mode.as_str(), seq, value])? == 0 {
            return Err(not_held().into());
        }
        row.changed(tx, Changed::Replaced(ticket.mode, seq))
    })
}
