//! Topics: rows with offsets that count up from 1. A message is on disk when `publish` returns.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tooz_core::driver::{Bounds, Message, Offset, Topics};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::core::Core;
use crate::error::Outcome;
use crate::poke::Poke;
use crate::roster::Caller;
use crate::session::FileSession;
use crate::watch::Look;

/// What a row of SQLite can hold, with room for the other columns.
const MAX_PAYLOAD: usize = 900_000_000;

#[async_trait]
impl Topics for FileSession {
    async fn publish(&self, topic: &Name, payload: &[u8], keep: u64) -> Result<Offset> {
        if payload.len() > MAX_PAYLOAD {
            let refusal = format!("the payload has {} bytes, but at most {MAX_PAYLOAD} fit", payload.len());
            return Err(Error::new(ErrorKind::InvalidOption, refusal));
        }
        let (caller, topic, payload) = (self.caller.clone(), topic.clone(), payload.to_vec());
        self.slowly(move |core| publish(core, &caller, &topic, &payload, keep)).await
    }

    async fn read(&self, topic: &Name, after: Offset, limit: usize) -> Result<Vec<Message>> {
        let (caller, topic) = (self.caller.clone(), topic.clone());
        self.look(move |core| look(core, &caller, &topic, after, limit.max(1))).await
    }

    async fn bounds(&self, topic: &Name) -> Result<Bounds> {
        let (caller, topic) = (self.caller.clone(), topic.clone());
        let found = self.call(move |core| find(&core.db, &caller, &topic)).await?;
        Ok(found.map(|log| log.bounds()).unwrap_or_default())
    }
}

/// The row of a topic.
struct Log {
    id: i64,
    newest: i64,
    trimmed: i64,
}

impl Log {
    fn bounds(&self) -> Bounds {
        Bounds { trimmed: Offset(self.trimmed as u64), newest: Offset(self.newest as u64) }
    }
}

fn find(db: &Connection, caller: &Caller, topic: &Name) -> Outcome<Option<Log>> {
    let mut select = db.prepare_cached("SELECT id, newest, trimmed FROM topics WHERE namespace = ?1 AND name = ?2")?;
    let read = |row: &rusqlite::Row<'_>| Ok(Log { id: row.get(0)?, newest: row.get(1)?, trimmed: row.get(2)? });
    Ok(select.query_row(params![caller.namespace, topic.as_bytes()], read).optional()?)
}

fn find_or_make(db: &Connection, caller: &Caller, topic: &Name) -> Outcome<Log> {
    if let Some(log) = find(db, caller, topic)? {
        return Ok(log);
    }
    let mut insert = db.prepare_cached("INSERT INTO topics (namespace, name) VALUES (?1, ?2)")?;
    let id = insert.insert(params![caller.namespace, topic.as_bytes()])?;
    Ok(Log { id, newest: 0, trimmed: 0 })
}

fn publish(core: &mut Core, caller: &Caller, topic: &Name, payload: &[u8], keep: u64) -> Outcome<Offset> {
    core.write_durably(|work| {
        let log = find_or_make(work.db, caller, topic)?;
        let newest = log.newest + 1;
        let keep = i64::try_from(keep.max(1)).unwrap_or(i64::MAX);
        let trimmed = log.trimmed.max(newest.saturating_sub(keep));
        let mut insert = work.db.prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3)")?;
        insert.execute(params![log.id, newest, payload])?;
        let mut delete = work.db.prepare_cached("DELETE FROM messages WHERE topic = ?1 AND offset <= ?2")?;
        delete.execute([log.id, trimmed])?;
        let mut update = work.db.prepare_cached("UPDATE topics SET newest = ?2, trimmed = ?3 WHERE id = ?1")?;
        update.execute([log.id, newest, trimmed])?;
        let mut select = work.db.prepare_cached("SELECT peer FROM readers WHERE topic = ?1")?;
        let readers: Vec<i64> = select.query_map([log.id], |row| row.get(0))?.collect::<std::result::Result<_, _>>()?;
        readers.into_iter().for_each(|peer| work.poke(peer, Poke::Topic(log.id)));
        Ok(Offset(newest as u64))
    })
}

fn look(core: &mut Core, caller: &Caller, topic: &Name, after: Offset, limit: usize) -> Outcome<Look<Vec<Message>>> {
    let messages = read(&core.db, caller, topic, after, limit)?;
    if !messages.is_empty() {
        return Ok(Look::Ready(messages));
    }
    let log = match find(&core.db, caller, topic)? {
        Some(log) => log,
        None => core.write(|work| find_or_make(work.db, caller, topic))?,
    };
    let grown = core.watch_topic(log.id)?;
    // Others may have published before they knew that we read.
    let messages = read(&core.db, caller, topic, after, limit)?;
    Ok(if messages.is_empty() { Look::Wait(grown) } else { Look::Ready(messages) })
}

fn read(db: &Connection, caller: &Caller, topic: &Name, after: Offset, limit: usize) -> Outcome<Vec<Message>> {
    // One read transaction, so that retention is not at work between the two looks.
    let db = db.unchecked_transaction()?;
    let Some(log) = find(&db, caller, topic)? else { return Ok(Vec::new()) };
    if after.0 < log.trimmed as u64 {
        return Err(Error::new(ErrorKind::Gap, "messages after this offset were removed by retention")
            .with_context("after", after)
            .with_context("removed up to", log.trimmed)
            .into());
    }
    let mut select =
        db.prepare_cached("SELECT offset, payload FROM messages WHERE topic = ?1 AND offset > ?2 ORDER BY offset")?;
    let rows = select.query_map([log.id, i64::try_from(after.0).unwrap_or(i64::MAX)], |row| {
        Ok(Message { offset: Offset(row.get::<_, i64>(0)? as u64), payload: row.get(1)? })
    })?;
    // SQLite would compile the statement anew for each LIMIT that is bound.
    Ok(rows.take(limit).collect::<std::result::Result<_, _>>()?)
}
