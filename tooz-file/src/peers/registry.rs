//! The table of peers: how a process is added, which peers it watches, and how the rows of a dead one are removed.
//!
//! Peers are in a circle, in the order of their ids. Each process watches the next two, so that one frozen process hides
//! no death. A process that finds a peer dead removes its rows, at most [`STEP`] of each table in one transaction.

use rusqlite::{Connection, params};
use tooz_core::driver::Mode;

use crate::db::rosters::{read_mode, remove_entries};
use crate::db::transaction::{STEP, Transaction};
use crate::error::Outcome;
use crate::peers::notify::Notification;

/// The peers that `me` watches: the next two in the circle.
pub(crate) fn watched_by(db: &Connection, me: i64) -> Outcome<Vec<i64>> {
    read(db, "SELECT id FROM peers WHERE id <> ?1 ORDER BY id < ?1, id LIMIT 2", me)
}

/// The peers that watch `me`: the two before it in the circle.
pub(crate) fn watchers_of(db: &Connection, me: i64) -> Outcome<Vec<i64>> {
    read(db, "SELECT id FROM peers WHERE id <> ?1 ORDER BY id > ?1, id DESC LIMIT 2", me)
}

/// All peers but `me`.
pub(crate) fn others(db: &Connection, me: i64) -> Outcome<Vec<i64>> {
    read(db, "SELECT id FROM peers WHERE id <> ?1", me)
}

/// Removes some of what a peer has left. Returns whether nothing is left.
pub(crate) fn remove_some(tx: &mut Transaction<'_>, peer: i64) -> Outcome<bool> {
    let entries: Vec<(i64, Mode, i64)> = {
        let mut select = tx.db.prepare_cached("SELECT roster, mode, seq FROM entries WHERE peer = ?1")?;
        let rows = select.query_map([peer], |row| Ok((row.get(0)?, read_mode(row, 1)?, row.get(2)?)))?;
        rows.take(STEP).collect::<Result<_, _>>()?
    };
    remove_entries(tx, peer, &entries)?;
    let mut finished = entries.len() < STEP;
    for statement in [
        "DELETE FROM watchers WHERE peer = ?1 AND object IN (SELECT object FROM watchers WHERE peer = ?1 LIMIT ?2)",
        "DELETE FROM evictions WHERE rowid IN (SELECT rowid FROM evictions WHERE peer = ?1 LIMIT ?2)",
    ] {
        finished &= tx.db.prepare_cached(statement)?.execute(params![peer, STEP as i64])? < STEP;
    }
    if finished {
        tx.db.prepare_cached("DELETE FROM peers WHERE id = ?1")?.execute([peer])?;
        others(tx.db, peer)?.into_iter().for_each(|survivor| tx.notify(survivor, Notification::All));
    }
    Ok(finished)
}

fn read(db: &Connection, select: &str, peer: i64) -> Outcome<Vec<i64>> {
    Ok(db.prepare_cached(select)?.query_map([peer], |row| row.get(0))?.collect::<Result<_, _>>()?)
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
        assert_eq!(watched_by(&db, 3).unwrap(), [4, 1]);
        assert_eq!(watchers_of(&db, 1).unwrap(), [4, 3]);
        db.execute_batch("DELETE FROM peers WHERE id > 2").unwrap();
        assert_eq!(watched_by(&db, 2).unwrap(), [1]);
    }
}
