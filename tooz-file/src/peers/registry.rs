//! The table of peers: how a process is added, which peers it watches, and how the rows of a dead one are removed.
//!
//! Peers are in a circle, in the order of their ids. Each process watches the next two, so that one frozen process hides
//! no death. A process that finds a peer dead removes its rows, at most [`STEP`] of each table in one transaction.

use rusqlite::{Connection, params};

use crate::db::rows::RosterRow;
use crate::db::transaction::{STEP, Transaction};
use crate::error::Outcome;
use crate::peers::notify::Notification;

/// How many peers a process watches.
const WATCHED: usize = 2;

/// Adds this process, and notifies the peers that shall watch it.
pub(crate) fn add(tx: &mut Transaction<'_>) -> Outcome<()> {
    tx.db.prepare_cached("INSERT INTO peers VALUES (?1)")?.execute([tx.me])?;
    for peer in neighbours(tx.db, tx.me, Side::Before)? {
        tx.notify(peer, Notification::Peers);
    }
    Ok(())
}

/// The peers that `me` watches.
pub(crate) fn watched_by(db: &Connection, me: i64) -> Outcome<Vec<i64>> {
    neighbours(db, me, Side::After)
}

/// All peers.
pub(crate) fn all(db: &Connection) -> Outcome<Vec<i64>> {
    let mut select = db.prepare_cached("SELECT id FROM peers")?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Removes some of what a peer has left. Returns whether nothing is left.
pub(crate) fn remove_some(tx: &mut Transaction<'_>, peer: i64) -> Outcome<bool> {
    let entries = "SELECT roster, mode, seq FROM entries WHERE session IN (SELECT id FROM sessions WHERE peer = ?1)";
    if !remove_entries(tx, entries, peer)? {
        return Ok(false);
    }
    for statement in [
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE peer = ?1 LIMIT ?2)",
        "DELETE FROM watchers WHERE peer = ?1 AND roster IN (SELECT roster FROM watchers WHERE peer = ?1 LIMIT ?2)",
        "DELETE FROM readers WHERE peer = ?1 AND topic IN (SELECT topic FROM readers WHERE peer = ?1 LIMIT ?2)",
        "DELETE FROM evictions WHERE rowid IN (SELECT rowid FROM evictions WHERE peer = ?1 LIMIT ?2)",
    ] {
        if tx.db.prepare_cached(statement)?.execute(params![peer, STEP as i64])? == STEP {
            return Ok(false);
        }
    }
    tx.db.prepare_cached("DELETE FROM peers WHERE id = ?1")?.execute([peer])?;
    for survivor in all(tx.db)? {
        tx.notify(survivor, Notification::All);
    }
    Ok(true)
}

/// Removes some entries of a session, and its row after the last of them. Returns whether nothing is left.
pub(crate) fn remove_some_of_session(tx: &mut Transaction<'_>, session: i64) -> Outcome<bool> {
    let all = remove_entries(tx, "SELECT roster, mode, seq FROM entries WHERE session = ?1", session)?;
    if all {
        tx.db.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([session])?;
    }
    Ok(all)
}

/// Removes the first entries that a statement selects for `owner`. Returns whether there are no others.
fn remove_entries(tx: &mut Transaction<'_>, statement: &str, owner: i64) -> Outcome<bool> {
    let entries: Vec<(i64, String, i64)> = {
        let mut select = tx.db.prepare_cached(statement)?;
        let rows = select.query_map([owner], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.take(STEP).collect::<Result<_, _>>()?
    };
    let mut rosters = Vec::new();
    for (roster, mode, seq) in &entries {
        let mut delete = tx.db.prepare_cached("DELETE FROM entries WHERE roster = ?1 AND mode = ?2 AND seq = ?3")?;
        delete.execute(params![roster, mode, seq])?;
        if rosters.last() != Some(roster) {
            rosters.push(*roster);
        }
    }
    for roster in rosters {
        if let Some(row) = RosterRow::with_id(tx.db, roster)? {
            row.after_removal(tx)?;
        }
    }
    Ok(entries.len() < STEP)
}

/// A direction in the circle of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// The nearest peers of `me` in the circle.
fn neighbours(db: &Connection, me: i64, side: Side) -> Outcome<Vec<i64>> {
    let (near, around) = match side {
        Side::After => (
            "SELECT id FROM peers WHERE id > ?1 ORDER BY id LIMIT ?2",
            "SELECT id FROM peers WHERE id < ?1 ORDER BY id LIMIT ?2",
        ),
        Side::Before => (
            "SELECT id FROM peers WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            "SELECT id FROM peers WHERE id > ?1 ORDER BY id DESC LIMIT ?2",
        ),
    };
    let mut found = Vec::new();
    for statement in [near, around] {
        let mut select = db.prepare_cached(statement)?;
        let rows = select.query_map(params![me, (WATCHED - found.len()) as i64], |row| row.get(0))?;
        found.extend(rows.collect::<Result<Vec<i64>, _>>()?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::schema;

    #[test]
    fn peers_are_in_a_circle() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema::TABLES).unwrap();
        db.execute_batch("INSERT INTO peers VALUES (1), (2), (3), (4)").unwrap();
        assert_eq!(neighbours(&db, 3, Side::After).unwrap(), [4, 1]);
        assert_eq!(neighbours(&db, 1, Side::Before).unwrap(), [4, 3]);
        db.execute_batch("DELETE FROM peers WHERE id > 2").unwrap();
        assert_eq!(watched_by(&db, 2).unwrap(), [1]);
    }
}
