//! Reading a roster at one moment, and waiting until its content differs.
//!
//! Entries of dead processes are removed before the snapshot is returned.

use std::num::NonZeroU32;

use rusqlite::{Connection, Row};
use tooz_core::driver::support::content_version;
use tooz_core::driver::{Entry, Nonce, Snapshot, Version};

use crate::db::objects::Target;
use crate::db::rosters::{RosterRow, read_mode, seq_of};
use crate::error::Outcome;
use crate::process::state::{Read, State};

/// The content of a roster, unless it is still that of `newer_than`.
pub(crate) fn read_or_wait(state: &mut State, target: &Target, newer_than: Option<Version>) -> Outcome<Read<Snapshot>> {
    state.read_or_wait(target, |state| {
        let (snapshot, ()) = read(state, target, |_| Ok(()))?;
        Ok((newer_than != Some(snapshot.version)).then_some(snapshot))
    })
}

/// Reads a roster, and something else in the same transaction.
pub(super) fn read<T>(
    state: &mut State,
    target: &Target,
    also: impl Fn(&Connection) -> Outcome<T>,
) -> Outcome<(Snapshot, T)> {
    loop {
        let db = state.db.unchecked_transaction()?;
        let (snapshot, peers) = read_entries(&db, target)?;
        let other = also(&db)?;
        drop(db);
        if !state.remove_dead(&peers)? {
            return Ok((snapshot, other));
        }
    }
}

/// Reads the entries of a roster, and the peers that own them.
fn read_entries(db: &Connection, target: &Target) -> Outcome<(Snapshot, Vec<i64>)> {
    let Some(found) = RosterRow::find(db, target)? else { return Ok(Default::default()) };
    let mut select = db.prepare_cached(
        "SELECT seq, nonce, key, mode, permits, value, peer FROM entries WHERE roster = ?1 ORDER BY seq",
    )?;
    let mut rows = select.query([found.id])?;
    let (mut entries, mut peers) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        entries.extend(read_entry(row, target));
        let peer = row.get(6)?;
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let version = content_version(found.declared, &entries);
    Ok((Snapshot { version, declared: found.declared, entries }, peers))
}

/// Reads an entry from the first columns of a row. One that is unreadable does not hide others.
pub(super) fn read_entry(row: &Row<'_>, target: &Target) -> Option<Entry> {
    let unreadable = |error| {
        let (kind, name, seq) = (target.kind, &target.name, row.get::<_, i64>(0).ok());
        tracing::warn!(%error, kind, %name, seq, "skipped an unreadable entry");
    };
    entry_of(row).map_err(unreadable).ok()
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<Entry> {
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
    use crate::db::rosters::any_values;

    fn written(columns: Vec<Value>) -> rusqlite::Result<Entry> {
        let db = Connection::open_in_memory()?;
        db.query_row("SELECT ?1, ?2, ?3, ?4, ?5, ?6", params_from_iter(columns), entry_of)
    }

    proptest! {
        #[test]
        fn any_row_is_read_or_refused(columns in any_values(6)) {
            let _ = written(columns);
        }

        #[test]
        fn entries_come_back(
            seq in 1..=i64::MAX, nonce: u128, key in prop::option::of(any::<Vec<u8>>()), limit in 1..=u32::MAX,
            value: Vec<u8>,
        ) {
            let text = |mode: Mode| Value::Text(mode.as_str().to_owned());
            let columns = vec![
                Value::Integer(seq),
                Value::Blob(nonce.to_be_bytes().to_vec()),
                key.clone().map_or(Value::Null, Value::Blob),
                text(Mode::Member),
                Value::Integer(limit.into()),
                Value::Blob(value.clone()),
            ];
            let entry = written(columns).unwrap();
            prop_assert_eq!((entry.seq, entry.nonce, entry.mode), (Seq(seq.unsigned_abs()), Nonce(nonce), Mode::Member));
            prop_assert_eq!((entry.key, entry.limit.get(), entry.value), (key, limit, value));
        }
    }
}
