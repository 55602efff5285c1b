//! Objects: everything that has a name, which are rosters and topics, with one row each. A process that watches an object
//! is notified of its changes.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use tooz_core::Name;
use tooz_core::driver::NewName;

use super::transaction::Transaction;
use crate::error::Outcome;
use crate::peers::notify::Notification;

/// The condition for removing the row of an object: without the row, the object would be the same.
const UNUSED: &str = "NOT watched AND NOT occupied AND NOT declared AND newest = 0";

/// The id that a process watches, in place of an object's, to be notified when a name comes into use in any namespace.
pub(crate) const NAMES: i64 = 0;

/// The object that a request is about, and the session that makes the request.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) session: u64,
    pub(crate) namespace: Arc<str>,
    /// The name of the kind of a roster, or [`TOPIC`](crate::layout::TOPIC).
    pub(crate) kind: &'static str,
    pub(crate) name: Name,
}

/// The id of an object, if it has a row.
pub(crate) fn find(db: &Connection, target: &Target) -> Outcome<Option<i64>> {
    let mut select = db.prepare_cached("SELECT id FROM objects WHERE namespace = ?1 AND kind = ?2 AND name = ?3")?;
    let key = params![target.namespace, target.kind, target.name.as_bytes()];
    Ok(select.query_row(key, |row| row.get(0)).optional()?)
}

/// The name of the object with this id, if it has a row and belongs to the namespace.
pub(crate) fn name_of(db: &Connection, id: i64, namespace: &str) -> Outcome<Option<NewName>> {
    let mut select = db.prepare_cached("SELECT kind, name FROM objects WHERE id = ?1 AND namespace = ?2")?;
    let row = select.query_row(params![id, namespace], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)));
    Ok(row.optional()?.and_then(|(kind, name)| Some(NewName::new(&kind, Name::new(name).ok()?))))
}

/// Adds a row for an object that has none. Returns its id.
pub(crate) fn insert(db: &Connection, target: &Target) -> Outcome<i64> {
    let mut insert = db.prepare_cached("INSERT INTO objects (namespace, kind, name) VALUES (?1, ?2, ?3)")?;
    Ok(insert.insert(params![target.namespace, target.kind, target.name.as_bytes()])?)
}

/// At most `limit` names of objects that fulfil a condition, in ascending order.
pub(crate) fn names(
    db: &Connection,
    namespace: &str,
    kind: &str,
    condition: &str,
    after: Option<&Name>,
    limit: usize,
) -> Outcome<Vec<Name>> {
    let mut select = db.prepare_cached(&format!(
        "SELECT name FROM object_states WHERE namespace = ?1 AND kind = ?2 AND name > ?3 AND {condition} ORDER BY name"
    ))?;
    let after = after.map_or(&b""[..], Name::as_bytes);
    let mut page = Vec::new();
    // SQLite would compile the statement anew for each LIMIT that is bound.
    for name in select.query_map(params![namespace, kind, after], |row| row.get::<_, Vec<u8>>(0))? {
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

/// Records that this process watches an object, which gets a row if it has none. Returns its id.
pub(crate) fn watch(tx: &Transaction<'_>, target: &Target) -> Outcome<i64> {
    tx.check_alive()?;
    let id = find(tx.db, target)?.map_or_else(|| insert(tx.db, target), Ok)?;
    add_watcher(tx, id)?;
    Ok(id)
}

/// Records that this process watches an object with this id, or [`NAMES`].
pub(crate) fn add_watcher(tx: &Transaction<'_>, id: i64) -> Outcome<()> {
    tx.db.prepare_cached("INSERT OR IGNORE INTO watchers VALUES (?1, ?2)")?.execute([id, tx.me()])?;
    Ok(())
}

/// Removes what [`watch`] has recorded.
pub(crate) fn unwatch(tx: &Transaction<'_>, id: i64) -> Outcome<()> {
    tx.db.prepare_cached("DELETE FROM watchers WHERE object = ?1 AND peer = ?2")?.execute([id, tx.me()])?;
    Ok(())
}

/// Notifies the processes that watch an object.
pub(crate) fn notify_watchers(tx: &mut Transaction<'_>, id: i64) -> Outcome<()> {
    notify(tx, id, Notification::Object(id))
}

/// Notifies the processes that watch for names of an object that comes into use.
pub(crate) fn notify_new_name(tx: &mut Transaction<'_>, id: i64) -> Outcome<()> {
    notify(tx, NAMES, Notification::Name(id))
}

fn notify(tx: &mut Transaction<'_>, watched: i64, notification: Notification) -> Outcome<()> {
    let mut select = tx.db.prepare_cached("SELECT peer FROM watchers WHERE object = ?1")?;
    let peers: Vec<i64> = select.query_map([watched], |row| row.get(0))?.collect::<Result<_, _>>()?;
    peers.into_iter().for_each(|peer| tx.notify(peer, notification));
    Ok(())
}

/// The next `limit` objects that follow the id `after`, each with whether there is something to remove.
pub(crate) fn page(db: &Connection, after: i64, limit: usize) -> Outcome<Vec<(i64, bool)>> {
    let mut select = db.prepare_cached(&format!(
        "SELECT id, NOT watched AND EXISTS (SELECT 1 FROM changes WHERE roster = id) OR {UNUSED}
         FROM object_states WHERE id > ?1 ORDER BY id"
    ))?;
    let rows = select.query_map([after], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.take(limit).collect::<Result<_, _>>()?)
}

/// Removes the changes of an object that is not watched, and its row if that is not used.
pub(crate) fn remove_unused(db: &Connection, id: i64) -> Outcome<()> {
    for statement in [
        "DELETE FROM changes WHERE roster IN (SELECT id FROM object_states WHERE id = ?1 AND NOT watched)",
        &format!("DELETE FROM objects WHERE id IN (SELECT id FROM object_states WHERE id = ?1 AND {UNUSED})"),
    ] {
        db.prepare_cached(statement)?.execute([id])?;
    }
    Ok(())
}
