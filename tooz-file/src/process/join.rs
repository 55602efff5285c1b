//! Opens the database and adds this process to its peers.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::broadcast;
use tooz_core::driver::Nonce;
use tooz_core::{Error, ErrorKind};

use super::state::State;
use crate::db::transaction::immediate;
use crate::db::{connection, sequence};
use crate::directory::Directory;
use crate::error::Outcome;
use crate::layout;
use crate::peers::liveness::Presence;
use crate::peers::notify::{Notification, Notifier};
use crate::peers::registry;

/// How many names that come into use may wait for a task. With more it lists them.
const NEW_NAMES: usize = 256;

/// Joins the peers of a directory, whose database file is open.
pub(super) fn join(directory: Arc<Directory>, database: File) -> Outcome<State> {
    let db = connection::open(directory.database())?;
    let identity = directory.identity()?;
    if !directory.is_database(&database) {
        let message = "the database was replaced while it was opened; try again";
        return Err(Error::new(ErrorKind::Unavailable, message).into());
    }
    // A positive number that no other process will choose.
    let me = Nonce::random().0 as i64 & layout::MAX_ID;
    let mut state = State {
        db,
        presence: Presence::hold(database, me)?,
        identity,
        directory,
        sessions: Default::default(),
        last_session: 0,
        ending: Vec::new(),
        wakeups: Default::default(),
        new_names: broadcast::channel(NEW_NAMES).0,
        watched: Default::default(),
        notifier: Notifier::new()?,
        data_version: 0,
        commits: 0,
        unswept: true,
        swept: 0,
        evictions: false,
        lost: false,
    };
    let others = registry::others(&state.db, me)?;
    add_peer(&state, &others)?;
    for peer in registry::watchers_of(&state.db, me)? {
        state.notifier.send(&state.directory, peer, Notification::Peers);
    }
    for peer in state.presence.dead_among(&state.directory.peers_with_sockets()?) {
        state.directory.remove_socket(peer);
    }
    match state.remove_dead(&others) {
        // The worker continues.
        Err(fault) if fault.needs_time() => Ok(state),
        removed => removed.map(|_| state),
    }
}

/// Adds this process to the table of peers. The first one prepares the sequence.
fn add_peer(state: &State, others: &[i64]) -> Outcome<()> {
    if state.presence.dead_among(others).len() == others.len() {
        connection::set_durable(&state.db, true)?;
        immediate(&state.db, || sequence::restart(&state.db))?;
        connection::set_durable(&state.db, false)?;
    }
    state.db.execute("INSERT INTO peers VALUES (?1)", [state.presence.me()])?;
    Ok(())
}
