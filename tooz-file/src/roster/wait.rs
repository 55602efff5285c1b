//! Waiting until an entry is admitted.
//!
//! The transaction that removes an entry marks the waiting entries that are admitted now; the process then notifies their
//! processes. A notified waiter reads its own row, and is admitted only if the row is marked.

use rusqlite::{OptionalExtension, params};
use tooz_core::driver::Ticket;
use tooz_core::driver::support::not_held;

use crate::db::objects::Target;
use crate::db::rosters::number_of;
use crate::error::Outcome;
use crate::peers::notify::Notification;
use crate::process::state::{Read, State};

/// Reads whether the entry of a ticket is admitted.
pub(crate) fn read_turn(state: &mut State, target: &Target, ticket: &Ticket) -> Outcome<Read<()>> {
    // One statement, since each statement acquires and releases the locks of a reader.
    let mut select = state.db.prepare_cached(
        "SELECT admitted FROM entries WHERE mode = ?4 AND seq = ?5 AND nonce = ?6
         AND roster = (SELECT id FROM objects WHERE namespace = ?1 AND kind = ?2 AND name = ?3)",
    )?;
    let (name, seq) = (target.name.as_bytes(), number_of(ticket.seq));
    let key = params![target.namespace, target.kind, name, ticket.mode.as_str(), seq, ticket.nonce.0.to_be_bytes()];
    match select.query_row(key, |row| row.get(0)).optional()? {
        None => Err(not_held().into()),
        Some(true) => Ok(Read::Ready(())),
        Some(false) => Ok(Read::Wait(state.wakeups.subscribe(&Notification::Turn(seq).name()))),
    }
}
