//! The durable existence of a roster, which is on disk when the call returns.

use tooz_core::driver::support::{group_not_created, group_not_empty};

use crate::db::objects::Target;
use crate::db::rosters::RosterRow;
use crate::error::{Fault, Outcome};
use crate::process::state::State;

pub(crate) fn declare(state: &mut State, target: &Target) -> Outcome<bool> {
    state.write_to_disk(|tx| {
        let row = match RosterRow::find(tx.db, target)? {
            Some(row) if row.declared => return Ok(false),
            Some(row) => row,
            None => RosterRow::insert(tx.db, target)?,
        };
        row.set_declared(tx, true)?;
        Ok(true)
    })
}

pub(crate) fn retract(state: &mut State, target: &Target) -> Outcome<()> {
    state.write_to_disk(|tx| {
        let row = RosterRow::find(tx.db, target)?.filter(|row| row.declared).ok_or_else(group_not_created)?;
        if !row.occupied {
            return row.set_declared(tx, false);
        }
        let mut select = tx.db.prepare_cached("SELECT DISTINCT peer FROM entries WHERE roster = ?1")?;
        let owners: Vec<i64> = select.query_map([row.id], |row| row.get(0))?.collect::<Result<_, _>>()?;
        match tx.presence.dead_among(&owners) {
            dead if dead.is_empty() => Err(group_not_empty().into()),
            dead => Err(Fault::Dead(dead)),
        }
    })
}
