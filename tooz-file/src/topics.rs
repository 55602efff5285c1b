//! Topics: rows with offsets that count up from 1. A message is on disk when `publish` returns.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tooz_core::driver::{Bounds, Message, Offset, Topics, support};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::db::objects::{self, Target};
use crate::db::transaction::STEP;
use crate::error::Outcome;
use crate::layout::TOPIC;
use crate::process::state::State;
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
        let (target, payload) = (self.target(TOPIC, topic), payload.to_vec());
        let keep = i64::try_from(keep.max(1)).unwrap_or(i64::MAX);
        self.run(move |state| publish(state, &target, &payload, keep)).await
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let target = self.target(TOPIC, topic);
        let read = move |state: &mut State| {
            state.read_or_wait(&target, |state| {
                let messages = read(&state.db, &target, after, limit.max(1))?;
                Ok((!messages.is_empty()).then_some(messages))
            })
        };
        self.run_until_ready(read).await
    }

    async fn names(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.names_of(TOPIC, "newest > 0", after, limit).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let target = self.target(TOPIC, topic);
        let found = self.run(move |state| find(&state.db, &target)).await?;
        let bounds = |row: TopicRow| Bounds { trimmed: offset_of(row.trimmed), newest: offset_of(row.newest) };
        Ok(found.map(bounds).unwrap_or_default())
    }
}

/// The row of a topic.
struct TopicRow {
    id: i64,
    newest: i64,
    /// All messages up to this offset are removed. Their rows are deleted little by little.
    trimmed: i64,
}

fn offset_of(number: i64) -> Offset {
    Offset(number.max(0) as u64)
}

fn find(db: &Connection, target: &Target) -> Outcome<Option<TopicRow>> {
    let mut select =
        db.prepare_cached("SELECT id, newest, trimmed FROM objects WHERE namespace = ?1 AND kind = ?2 AND name = ?3")?;
    let read = |row: &rusqlite::Row<'_>| Ok(TopicRow { id: row.get(0)?, newest: row.get(1)?, trimmed: row.get(2)? });
    Ok(select.query_row(params![target.namespace, target.kind, target.name.as_bytes()], read).optional()?)
}

fn publish(state: &mut State, target: &Target, payload: &[u8], keep: i64) -> Outcome<Offset> {
    state.write_to_disk(|tx| {
        let row = match find(tx.db, target)? {
            Some(row) => row,
            None => TopicRow { id: objects::insert(tx.db, target)?, newest: 0, trimmed: 0 },
        };
        let newest = row
            .newest
            .checked_add(1)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the topic has used its last offset; use another topic"))?;
        let trimmed = row.trimmed.max(newest.saturating_sub(keep));
        let mut insert = tx.db.prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3)")?;
        insert.execute(params![row.id, newest, payload])?;
        // Each publication removes more than one message, so that a smaller `keep` takes effect little by little.
        let mut delete = tx.db.prepare_cached(
            "DELETE FROM messages WHERE topic = ?1 AND offset IN
             (SELECT offset FROM messages WHERE topic = ?1 AND offset <= ?2 ORDER BY offset LIMIT ?3)",
        )?;
        delete.execute(params![row.id, trimmed, STEP as i64])?;
        let mut update = tx.db.prepare_cached("UPDATE objects SET newest = ?2, trimmed = ?3 WHERE id = ?1")?;
        update.execute([row.id, newest, trimmed])?;
        objects::notify_watchers(tx, row.id)?;
        if row.newest == 0 {
            objects::notify_new_name(tx, row.id)?;
        }
        Ok(offset_of(newest))
    })
}

fn read(db: &Connection, target: &Target, after: Offset, limit: usize) -> Outcome<Vec<Message>> {
    // One read transaction, so that retention does not change between the two statements.
    let db = db.unchecked_transaction()?;
    let Some(row) = find(&db, target)? else { return Ok(Vec::new()) };
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
