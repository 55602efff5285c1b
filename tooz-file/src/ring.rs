//! The ring of peers: how a process joins it, and who stands next to whom.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::core::Core;
use crate::database;
use crate::directory::Directory;
use crate::driver::random_id;
use crate::error::Outcome;
use crate::poke::{Poke, Post};
use crate::station::{Station, WARDS};
use crate::watch::Bells;
use crate::work::{Clock, Work};

/// Opens the database and adds this process to its peers, after it has buried the dead ones.
pub(crate) fn join(directory: Arc<Directory>, kicked: UnixStream) -> Outcome<(Core, Station)> {
    let db = database::open(directory.database())?;
    let clock = Clock::read(&db)?;
    let (identity, me) = (directory.identity()?, random_id());
    let mut core = Core {
        db,
        directory: directory.clone(),
        me,
        sessions: Default::default(),
        ending: Vec::new(),
        bells: Bells::default(),
        post: Post::new()?,
        identity,
        clock,
        data_version: 0,
        commits: 0,
        idle: Default::default(),
        evictions: false,
        lost: false,
    };
    // The sockets are made inside the transaction: whoever sweeps the directory holds it too.
    let joined = core.commit(|work| {
        sign_on(work, &directory)?;
        Ok(Station::open(&directory, me, kicked)?)
    });
    match joined {
        Ok(station) => Ok((core, station)),
        Err(fault) => {
            directory.remove_sockets(me);
            Err(fault)
        }
    }
}

/// Removes what those who were killed had no time to tidy up.
const SWEEP: &str = "DELETE FROM rosters WHERE declared = 0
    AND NOT EXISTS (SELECT 1 FROM entries WHERE entries.roster = rosters.id)";

fn sign_on(work: &mut Work<'_>, directory: &Directory) -> Outcome<()> {
    let peers = peers(work.db)?;
    work.bury_dead(peers)?;
    if self::peers(work.db)?.is_empty() {
        directory.remove_all_sockets()?;
        work.db.execute_batch(SWEEP)?;
        set_clock(work)?;
    }
    work.db.prepare_cached("INSERT INTO peers VALUES (?1)")?.execute([work.me])?;
    for peer in neighbours(work.db, work.me, WARDS, Side::Before)? {
        work.poke(peer, Poke::Ring);
    }
    Ok(())
}

/// Sets the clock when nobody else is there: behind all numbers that a power cut may have undone, and, in case that the
/// directory was emptied, behind all that it ever gave, since it gives less than one a microsecond.
fn set_clock(work: &mut Work<'_>) -> Outcome<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    let Clock { last, reserved } = Clock::read(work.db)?;
    let last = last.max(reserved).max(now);
    // Nothing is reserved yet, so whoever takes the first number waits for the disk.
    let clock = Clock { last, reserved: last };
    clock.write(work.db)?;
    work.clock = Some(clock);
    Ok(())
}

/// A direction in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// The nearest peers of `me` in the ring, at most `count`.
pub(crate) fn neighbours(db: &Connection, me: i64, count: usize, side: Side) -> Outcome<Vec<i64>> {
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
        let rows = select.query_map(params![me, (count - found.len()) as i64], |row| row.get(0))?;
        found.extend(rows.collect::<Result<Vec<i64>, _>>()?);
    }
    Ok(found)
}

/// All peers.
pub(crate) fn peers(db: &Connection) -> Outcome<Vec<i64>> {
    let mut select = db.prepare_cached("SELECT id FROM peers")?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;

    #[test]
    fn the_ring_has_no_end() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(layout::TABLES).unwrap();
        db.execute_batch("INSERT INTO peers VALUES (1), (2), (3), (4)").unwrap();
        assert_eq!(neighbours(&db, 3, 2, Side::After).unwrap(), [4, 1]);
        assert_eq!(neighbours(&db, 1, 2, Side::Before).unwrap(), [4, 3]);
        assert_eq!(neighbours(&db, 2, 9, Side::After).unwrap(), [3, 4, 1]);
    }
}
