//! Reading a roster, and waiting until its content differs.
//!
//! - A process that waits records itself in `watchers`; each transaction that changes the roster notifies the processes
//!   recorded there. The roster is read once more after the record, so no change is missed.
//! - Entries of dead processes are removed before the snapshot is returned.

use std::num::NonZeroU32;

use rusqlite::{Row, params};
use tooz_core::driver::support::content_version;
use tooz_core::driver::{Entry, Nonce, Roster, Snapshot, Version};

use super::Caller;
use crate::db::rows::{RosterRow, read_mode, seq_of};
use crate::error::Outcome;
use crate::process::state::{Durability, State};
use crate::process::wakeups::Read;

/// The content of a roster, unless it is still that of `newer_than`.
pub(crate) fn read_roster(
    state: &mut State,
    caller: &Caller,
    roster: &Roster,
    newer_than: Option<Version>,
) -> Outcome<Read<Snapshot>> {
    let mut watched = match newer_than {
        Some(_) => watched_row(state, caller, roster)?,
        None => None,
    };
    loop {
        let (snapshot, peers) = read(state, caller, roster)?;
        if state.remove_dead(&peers)? {
            continue;
        }
        if newer_than != Some(snapshot.version) {
            return Ok(Read::Ready(snapshot));
        }
        match watched {
            Some(id) => return Ok(Read::Wait(state.wakeups.rosters.subscribe(id))),
            None => {
                let id = watch(state, caller, roster)?;
                // From here on the tick knows the record in the database, also if no task comes to wait.
                drop(state.wakeups.rosters.subscribe(id));
                watched = Some(id);
            }
        }
    }
}

/// The id of the row of a roster, if this process is recorded among its watchers.
fn watched_row(state: &State, caller: &Caller, roster: &Roster) -> Outcome<Option<i64>> {
    let row = RosterRow::find(&state.db, &caller.namespace, roster)?;
    Ok(row.map(|row| row.id).filter(|id| state.wakeups.rosters.contains(*id)))
}

/// Records this process among the watchers of a roster, whose row then stays as long as it is watched.
fn watch(state: &mut State, caller: &Caller, roster: &Roster) -> Outcome<i64> {
    state.write(Durability::Process, |tx| {
        let row = RosterRow::find(tx.db, &caller.namespace, roster)?;
        let row = row.map_or_else(|| RosterRow::insert(tx.db, &caller.namespace, roster), Ok)?;
        tx.db.prepare_cached("INSERT OR IGNORE INTO watchers VALUES (?1, ?2)")?.execute([row.id, tx.me])?;
        Ok(row.id)
    })
}

/// Reads a roster at one moment, with the peers that own its entries.
fn read(state: &State, caller: &Caller, roster: &Roster) -> Outcome<(Snapshot, Vec<i64>)> {
    let db = state.db.unchecked_transaction()?;
    let Some(found) = RosterRow::find(&db, &caller.namespace, roster)? else { return Ok(Default::default()) };
    let mut select = db.prepare_cached(
        "SELECT seq, nonce, key, mode, permits, value, peer
         FROM entries JOIN sessions ON sessions.id = entries.session WHERE entries.roster = ?1 ORDER BY seq",
    )?;
    let mut rows = select.query(params![found.id])?;
    let (mut entries, mut peers) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        match read_entry(row) {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                tracing::warn!(%error, %roster, seq = row.get::<_, i64>(0).ok(), "skipped an unreadable entry")
            }
        }
        let peer = row.get(6)?;
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let version = content_version(found.declared, &entries);
    Ok((Snapshot { version, declared: found.declared, entries }, peers))
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        seq: seq_of(row.get(0)?),
        nonce: Nonce(u128::from_be_bytes(row.get(1)?)),
        key: row.get(2)?,
        mode: read_mode(row, 3)?,
        limit: row.get::<_, u32>(4)?.try_into().unwrap_or(NonZeroU32::MIN),
        value: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::{Connection, params_from_iter, types::Value};
    use tooz_core::driver::{Mode, Seq};

    use super::*;
    use crate::db::rows::any_values;

    fn entry_of(columns: Vec<Value>) -> rusqlite::Result<Entry> {
        let db = Connection::open_in_memory()?;
        db.query_row("SELECT ?1, ?2, ?3, ?4, ?5, ?6", params_from_iter(columns), read_entry)
    }

    proptest! {
        #[test]
        fn any_row_is_read_or_refused(columns in any_values(6)) {
            let _ = entry_of(columns);
        }

        #[test]
        fn entries_come_back(
            seq in 1..=i64::MAX, nonce: u128, key in prop::option::of(any::<Vec<u8>>()), limit in 1..=u32::MAX,
            value: Vec<u8>,
        ) {
            let text = |mode: Mode| Value::Text(mode.as_str().to_owned());
            let written = vec![
                Value::Integer(seq),
                Value::Blob(nonce.to_be_bytes().to_vec()),
                key.clone().map_or(Value::Null, Value::Blob),
                text(Mode::Member),
                Value::Integer(limit.into()),
                Value::Blob(value.clone()),
            ];
            let entry = entry_of(written).unwrap();
            prop_assert_eq!((entry.seq, entry.nonce, entry.mode), (Seq(seq.unsigned_abs()), Nonce(nonce), Mode::Member));
            prop_assert_eq!((entry.key, entry.limit.get(), entry.value), (key, limit, value));
        }
    }
}
