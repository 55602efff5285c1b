//! Topics: rows with offsets that count up from 1. A message is on disk when `publish` returns.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tooz_core::driver::{Bounds, Message, Offset, Topics, support};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::db::transaction::{NAMES, STEP, Transaction};
use crate::error::Outcome;
use crate::peers::notify::Notification;
use crate::process::state::{Durability, State};
use crate::process::wakeups::Read;
use crate::roster::Caller;
use crate::roster::declare::read_page;
use crate::session::FileSession;

/// The bytes that a row of SQLite can hold, less those of the other columns.
const MAX_PAYLOAD: usize = 900_000_000;

#[async_trait]
impl Topics for FileSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        if payload.len() > MAX_PAYLOAD {
            let refusal = format!("the payload has {} bytes, but at most {MAX_PAYLOAD} fit", payload.len());
            return Err(Error::new(ErrorKind::InvalidOption, refusal));
        }
        let (caller, topic, payload) = (self.caller.clone(), topic.clone(), payload.to_vec());
        let keep = i64::try_from(keep.max(1)).unwrap_or(i64::MAX);
        self.run_on_disk(move |state| publish(state, &caller, &topic, &payload, keep)).await
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let (caller, topic) = (self.caller.clone(), topic.clone());
        self.run_until_ready(move |state| read_or_wait(state, &caller, &topic, after, limit.max(1))).await
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let (caller, after) = (self.caller.clone(), after.cloned());
        self.run(move |state| names(&state.db, &caller, after.as_ref(), limit)).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let (caller, topic) = (self.caller.clone(), topic.clone());
        let found = self.run(move |state| find(&state.db, &caller, &topic)).await?;
        Ok(found.map(|row| row.bounds()).unwrap_or_default())
    }
}

/// The row of a topic.
struct TopicRow {
    id: i64,
    newest: i64,
    /// All messages up to this offset are removed. Their rows are deleted little by little.
    trimmed: i64,
}

impl TopicRow {
    fn bounds(&self) -> Bounds {
        Bounds { trimmed: offset_of(self.trimmed), newest: offset_of(self.newest) }
    }
}

fn offset_of(number: i64) -> Offset {
    Offset(number.max(0) as u64)
}

fn find(db: &Connection, caller: &Caller, topic: &Name) -> Outcome<Option<TopicRow>> {
    let mut select = db.prepare_cached("SELECT id, newest, trimmed FROM topics WHERE namespace = ?1 AND name = ?2")?;
    let read = |row: &rusqlite::Row<'_>| Ok(TopicRow { id: row.get(0)?, newest: row.get(1)?, trimmed: row.get(2)? });
    Ok(select.query_row(params![caller.namespace, topic.as_bytes()], read).optional()?)
}

fn find_or_insert(db: &Connection, caller: &Caller, topic: &Name) -> Outcome<TopicRow> {
    if let Some(row) = find(db, caller, topic)? {
        return Ok(row);
    }
    let mut insert = db.prepare_cached("INSERT INTO topics (namespace, name) VALUES (?1, ?2)")?;
    let id = insert.insert(params![caller.namespace, topic.as_bytes()])?;
    Ok(TopicRow { id, newest: 0, trimmed: 0 })
}

/// At most `limit` topics with messages, in the order of their names.
fn names(db: &Connection, caller: &Caller, after: Option<&Name>, limit: usize) -> Outcome<Vec<Name>> {
    let mut select =
        db.prepare_cached("SELECT name FROM topics WHERE namespace = ?1 AND name > ?2 AND newest > 0 ORDER BY name")?;
    let after = after.map_or(&b""[..], Name::as_bytes);
    read_page(select.query_map(params![caller.namespace, after], |row| row.get(0))?, limit)
}

fn publish(state: &mut State, caller: &Caller, topic: &Name, payload: &[u8], keep: i64) -> Outcome<Offset> {
    state.write(Durability::Disk, |tx| {
        let row = find_or_insert(tx.db, caller, topic)?;
        let newest = row.newest.checked_add(1).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the topic has given out its last offset; use another topic")
        })?;
        let trimmed = row.trimmed.max(newest.saturating_sub(keep));
        let mut insert = tx.db.prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3)")?;
        insert.execute(params![row.id, newest, payload])?;
        delete_trimmed(tx.db, row.id, trimmed)?;
        let mut update = tx.db.prepare_cached("UPDATE topics SET newest = ?2, trimmed = ?3 WHERE id = ?1")?;
        update.execute([row.id, newest, trimmed])?;
        notify_readers(tx, row.id)?;
        if row.newest == 0 {
            tx.notify_watchers(NAMES)?;
        }
        Ok(offset_of(newest))
    })
}

/// Deletes some of the removed messages, more than one publication removes.
fn delete_trimmed(db: &Connection, topic: i64, trimmed: i64) -> Outcome<()> {
    let mut delete = db.prepare_cached(
        "DELETE FROM messages WHERE topic = ?1 AND offset IN
         (SELECT offset FROM messages WHERE topic = ?1 AND offset <= ?2 ORDER BY offset LIMIT ?3)",
    )?;
    delete.execute(params![topic, trimmed, STEP as i64])?;
    Ok(())
}

fn notify_readers(tx: &mut Transaction<'_>, topic: i64) -> Outcome<()> {
    let mut select = tx.db.prepare_cached("SELECT peer FROM readers WHERE topic = ?1")?;
    let readers: Vec<i64> = select.query_map([topic], |row| row.get(0))?.collect::<std::result::Result<_, _>>()?;
    readers.into_iter().for_each(|peer| tx.notify(peer, Notification::Topic(topic)));
    Ok(())
}

fn read_or_wait(
    state: &mut State,
    caller: &Caller,
    topic: &Name,
    after: Offset,
    limit: usize,
) -> Outcome<Read<Vec<Message>>> {
    let messages = read(&state.db, caller, topic, after, limit)?;
    if !messages.is_empty() {
        return Ok(Read::Ready(messages));
    }
    let row = match find(&state.db, caller, topic)? {
        Some(row) => row,
        None => state.write(Durability::Process, |tx| find_or_insert(tx.db, caller, topic))?,
    };
    if !state.wakeups.topics.contains(row.id) {
        state.write(Durability::Process, |tx| {
            tx.db.prepare_cached("INSERT OR IGNORE INTO readers VALUES (?1, ?2)")?.execute([row.id, tx.me])?;
            Ok(())
        })?;
    }
    let grown = state.wakeups.topics.subscribe(row.id);
    // Another process may have published before it knew that this one reads.
    let messages = read(&state.db, caller, topic, after, limit)?;
    Ok(if messages.is_empty() { Read::Wait(grown) } else { Read::Ready(messages) })
}

fn read(db: &Connection, caller: &Caller, topic: &Name, after: Offset, limit: usize) -> Outcome<Vec<Message>> {
    // One read transaction, so that retention does not change between the two statements.
    let db = db.unchecked_transaction()?;
    let Some(row) = find(&db, caller, topic)? else { return Ok(Vec::new()) };
    let trimmed = offset_of(row.trimmed);
    if after < trimmed {
        return Err(support::gap(after, trimmed).into());
    }
    let mut select =
        db.prepare_cached("SELECT offset, payload FROM messages WHERE topic = ?1 AND offset > ?2 ORDER BY offset")?;
    let rows = select.query_map([row.id, i64::try_from(after.0).unwrap_or(i64::MAX)], |row| {
        Ok(Message { offset: offset_of(row.get(0)?), payload: row.get(1)? })
    })?;
    // SQLite would compile the statement anew for each LIMIT that is bound.
    Ok(rows.take(limit).collect::<std::result::Result<_, _>>()?)
}
