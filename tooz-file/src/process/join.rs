//! Opens the database and adds this process to its peers.

use std::fs::File;
use std::sync::Arc;

use tooz_core::driver::Nonce;
use tooz_core::{Error, ErrorKind};

use super::state::State;
use crate::db::connection;
use crate::db::sequence::Sequence;
use crate::db::transaction::{Transaction, immediate};
use crate::directory::Directory;
use crate::error::Outcome;
use crate::layout;
use crate::peers::liveness::Presence;
use crate::peers::notify::Notifier;
use crate::peers::registry;

/// Joins the peers of a directory, whose database file is open.
pub(crate) fn join(directory: Arc<Directory>, database: Arc<File>) -> Outcome<State> {
    let db = connection::open(directory.database())?;
    let identity = directory.identity()?;
    if !directory.is_database(&database) {
        let message = "the database was replaced while it was opened; try again";
        return Err(Error::new(ErrorKind::Unavailable, message).into());
    }
    let mut state = State {
        sequence: Sequence::read(&db)?,
        db,
        presence: Presence::hold(database, random_id())?,
        directory,
        sessions: Default::default(),
        ending: Vec::new(),
        wakeups: Default::default(),
        notifier: Notifier::new()?,
        identity,
        data_version: 0,
        commits: 0,
        idle: Default::default(),
        evictions: false,
        leftovers: false,
        lost: false,
    };
    add_peer(&mut state)?;
    clean_up(&mut state)?;
    Ok(state)
}

/// A positive number that no other process will choose.
pub(crate) fn random_id() -> i64 {
    Nonce::random().0 as i64 & layout::MAX_ID
}

fn add_peer(state: &mut State) -> Outcome<()> {
    let mut tx = Transaction::new(&state.db, &state.presence);
    let is_first = immediate(&state.db, || {
        let peers = registry::all(tx.db)?;
        let is_first = tx.dead_among(&peers).len() == peers.len();
        if is_first {
            tx.sequence = Some(Sequence::restart(tx.db)?);
        }
        registry::add(&mut tx)?;
        Ok(is_first)
    })?;
    let Transaction { notifications, sequence, .. } = tx;
    state.sequence = sequence.unwrap_or(state.sequence);
    state.leftovers = is_first;
    for (peer, notification) in notifications {
        state.notifier.send(&state.directory, peer, notification);
    }
    Ok(())
}

/// Removes what dead processes have left. The worker continues if the time does not suffice.
fn clean_up(state: &mut State) -> Outcome<()> {
    let owners = state.directory.peers_with_sockets()?;
    for peer in state.presence.dead_among(&owners) {
        state.directory.remove_socket(peer);
    }
    let peers = registry::all(&state.db)?;
    match state.remove_dead(&peers) {
        Err(fault) if fault.needs_time() => Ok(()),
        removed => removed.map(|_| ()),
    }
}
