//! The durable existence of a roster, which is on disk when the call returns, and the rosters that exist or have entries.

use rusqlite::params;
use tokio::sync::futures::OwnedNotified;
use tooz_core::Name;
use tooz_core::driver::support::{group_not_created, group_not_empty};
use tooz_core::driver::{Kind, Roster};

use super::Caller;
use crate::db::rows::RosterRow;
use crate::db::transaction::{NAMES, Transaction};
use crate::error::Outcome;
use crate::process::state::{Attempt, Durability, State};

pub(crate) fn declare(state: &mut State, caller: &Caller, roster: &Roster) -> Outcome<bool> {
    state.write(Durability::Disk, |tx| {
        let row = match RosterRow::find(tx.db, &caller.namespace, roster)? {
            Some(row) if row.declared => return Ok(false),
            Some(row) => row,
            None => RosterRow::insert(tx.db, &caller.namespace, roster)?,
        };
        row.set_declared(tx, true)?;
        Ok(true)
    })
}

pub(crate) fn retract(state: &mut State, caller: &Caller, roster: &Roster) -> Outcome<()> {
    state.check_directory()?;
    state.write_past_dead(Durability::Disk, |tx| {
        tx.check_alive()?;
        let row = RosterRow::find(tx.db, &caller.namespace, roster)?.filter(|row| row.declared);
        let row = row.ok_or_else(group_not_created)?;
        if !row.occupied {
            return row.set_declared(tx, false).map(Attempt::Done);
        }
        let dead = tx.dead_among(&owners(tx, &row)?);
        if dead.is_empty() { Err(group_not_empty().into()) } else { Ok(Attempt::Dead(dead)) }
    })
}

pub(crate) fn declared(state: &mut State, caller: &Caller, kind: Kind) -> Outcome<Vec<Name>> {
    let mut select = state
        .db
        .prepare_cached("SELECT name FROM rosters WHERE namespace = ?1 AND kind = ?2 AND declared = 1 ORDER BY name")?;
    let names = select.query_map(params![caller.namespace, kind.as_str()], |row| row.get::<_, Vec<u8>>(0))?;
    read_page(names, usize::MAX)
}

/// At most `limit` rosters with entries, in the order of their names.
pub(crate) fn used(
    state: &mut State,
    caller: &Caller,
    kind: Kind,
    after: Option<&Name>,
    limit: usize,
) -> Outcome<Vec<Name>> {
    let mut select = state.db.prepare_cached(
        "SELECT name FROM rosters WHERE namespace = ?1 AND kind = ?2 AND name > ?3
         AND EXISTS (SELECT 1 FROM entries WHERE roster = rosters.id) ORDER BY name",
    )?;
    let after = after.map_or(&b""[..], Name::as_bytes);
    let names = select.query_map(params![caller.namespace, kind.as_str(), after], |row| row.get::<_, Vec<u8>>(0))?;
    read_page(names, limit)
}

/// Records this process among those that are notified of new names, and returns what resolves at the next one.
pub(crate) fn watch_names(state: &mut State) -> Outcome<OwnedNotified> {
    if !state.wakeups.rosters.contains(NAMES) {
        state.write(Durability::Process, |tx| {
            tx.db.prepare_cached("INSERT OR IGNORE INTO watchers VALUES (?1, ?2)")?.execute([NAMES, tx.me])?;
            Ok(())
        })?;
    }
    Ok(state.wakeups.rosters.subscribe(NAMES))
}

/// Reads at most `limit` valid names. SQLite would compile the statement anew for each LIMIT that is bound.
pub(crate) fn read_page(names: impl Iterator<Item = rusqlite::Result<Vec<u8>>>, limit: usize) -> Outcome<Vec<Name>> {
    let mut page = Vec::new();
    for name in names {
        match Name::new(name?) {
            Ok(name) => page.push(name),
            Err(error) => tracing::warn!(%error, "skipped a row whose name is not valid"),
        }
        if page.len() >= limit.max(1) {
            break;
        }
    }
    Ok(page)
}

/// The processes that have entries in a roster.
fn owners(tx: &Transaction<'_>, row: &RosterRow) -> Outcome<Vec<i64>> {
    let mut select = tx.db.prepare_cached(
        "SELECT DISTINCT peer FROM entries JOIN sessions ON sessions.id = entries.session WHERE entries.roster = ?1",
    )?;
    Ok(select.query_map([row.id], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
