//! Following a roster: a snapshot, then the changes that its transactions have recorded.
//!
//! - A transaction that changes a watched roster adds a row to `changes`, with the next version of the roster, and
//!   notifies the processes that watch it. Each change costs a follower one read, of the rows after the version that it
//!   has seen.
//! - A follower makes its process watch the roster, then reads the snapshot and its version in one transaction. So all
//!   later changes are recorded.
//! - The table keeps the latest changes only. If it no longer has the next one, the follower reads a snapshot again.

use rusqlite::Connection;
use tokio::sync::watch;
use tooz_core::driver::{Change, Update, Wakeup};

use super::snapshot;
use crate::db::objects::Target;
use crate::db::rosters::seq_of;
use crate::error::Outcome;
use crate::peers::notify::Notification;
use crate::process::state::{Read, State};

/// How far a follower has read.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    roster: i64,
    version: i64,
    /// The process watches the roster as long as this exists.
    _changed: watch::Receiver<Wakeup>,
}

/// The next update after a place, or the first one, with the place that it leads to.
pub(crate) fn next(state: &mut State, target: &Target, place: Option<&Place>) -> Outcome<Read<(Place, Update)>> {
    if let Some(place) = place {
        match changes_after(&state.db, target, place)? {
            Some((_, changes)) if changes.is_empty() => {
                return Ok(Read::Wait(state.wakeups.subscribe(&Notification::Object(place.roster).name())));
            }
            Some((version, changes)) => {
                return Ok(Read::Ready((Place { version, ..place.clone() }, Update::Changes(changes))));
            }
            None => {}
        }
    }
    let (roster, _changed) = state.watch(target)?;
    let (snapshot, version) = snapshot::read(state, target, |db| newest(db, roster))?;
    Ok(Read::Ready((Place { roster, version, _changed }, Update::Snapshot(snapshot))))
}

/// The changes after a place with the version that they lead to, or `None` if they are no longer kept.
fn changes_after(db: &Connection, target: &Target, place: &Place) -> Outcome<Option<(i64, Vec<Change>)>> {
    let mut select = db.prepare_cached(
        "SELECT seq, nonce, key, mode, permits, value, change, version FROM changes
         WHERE roster = ?1 AND version > ?2 ORDER BY version",
    )?;
    let mut rows = select.query([place.roster, place.version])?;
    let (mut version, mut changes) = (place.version, Vec::new());
    while let Some(row) = rows.next()? {
        version += 1;
        if row.get::<_, i64>(7)? != version {
            return Ok(None);
        }
        let seq = seq_of(row.get(0)?);
        let entry = || snapshot::read_entry(row, target);
        changes.extend(match row.get::<_, String>(6)?.as_str() {
            "entered" => entry().map(Change::Entered),
            "replaced" => entry().map(|entry| Change::Replaced { seq, value: entry.value }),
            "left" => Some(Change::Left(seq)),
            other => Some(Change::Declared(other == "declared")),
        });
    }
    Ok(Some((version, changes)))
}

/// The version of a roster.
fn newest(db: &Connection, roster: i64) -> Outcome<i64> {
    let mut select = db.prepare_cached("SELECT coalesce(max(version), 0) FROM changes WHERE roster = ?1")?;
    Ok(select.query_row([roster], |row| row.get(0))?)
}
