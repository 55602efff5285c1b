//! `tooz lock`, `tooz semaphore` and `tooz election`: showing, watching and breaking a queue.

use clap::{Args, Subcommand};
use serde::Serialize;
use tooz::{Coordinator, Name};

use super::session::with_session;
use crate::backend::Backend;
use crate::exit::{NO, Result};
use crate::inspect::{Kind, Object, ParticipantView, QueueView};
use crate::output::{Printer, Table, age};

/// What to do with a lock, semaphore or election.
#[derive(Args, Debug)]
pub(crate) struct QueueCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows the holders and the waiters. The exit code is 1 if there are none.
    Show {
        /// The name.
        name: String,
    },
    /// Shows the holders and the waiters, and again after each change.
    Watch {
        /// The name.
        name: String,
    },
    /// Takes it away from its holders. The waiters keep their positions. The exit code is 1 if nothing held it.
    ///
    /// A command that `tooz run` runs is killed. Another program may continue for a while: only fencing tokens make that
    /// safe. Use it for a holder that hangs.
    Break {
        /// The name.
        name: String,
    },
}

/// The state that is printed.
#[derive(Serialize)]
struct Shown {
    kind: Kind,
    name: String,
    #[serde(flatten)]
    queue: QueueView,
}

impl QueueCommand {
    pub(crate) async fn run(&self, kind: Kind, backend: &Backend, printer: Printer) -> Result<u8> {
        with_session(backend, async |coordinator| match &self.action {
            Action::Show { name } => show(&object(kind, name)?, coordinator, printer).await,
            Action::Watch { name } => watch(&object(kind, name)?, coordinator, printer).await,
            Action::Break { name } => break_holders(&object(kind, name)?, coordinator, printer).await,
        })
        .await
    }
}

fn object(kind: Kind, name: &str) -> Result<Object> {
    Ok(Object { kind, name: Name::new(name)? })
}

async fn show(object: &Object, coordinator: &Coordinator, printer: Printer) -> Result<u8> {
    let queue = QueueView::from(&object.queue(coordinator).await?);
    let is_unused = queue.holders.is_empty() && queue.waiters.is_empty();
    print(object, queue, printer)?;
    Ok(if is_unused { NO } else { 0 })
}

async fn watch(object: &Object, coordinator: &Coordinator, printer: Printer) -> Result<u8> {
    let mut changes = object.watch(coordinator);
    loop {
        let queue = QueueView::from(&changes.next().await?);
        print(object, queue, printer)?;
    }
}

async fn break_holders(object: &Object, coordinator: &Coordinator, printer: Printer) -> Result<u8> {
    let broken = object.break_holders(coordinator).await?;
    let holders: Vec<_> = broken.iter().map(ParticipantView::from).collect();
    let is_none = holders.is_empty();
    print(object, QueueView { holders, waiters: Vec::new() }, printer)?;
    Ok(if is_none { NO } else { 0 })
}

fn print(object: &Object, queue: QueueView, printer: Printer) -> Result<()> {
    let shown = Shown { kind: object.kind, name: object.name.to_string(), queue };
    printer.table(&shown, || {
        let mut table = Table::new(&["STATE", "MEMBER", "TOKEN", "MODE", "SINCE"]);
        let rows = [("holds", &shown.queue.holders), ("waits", &shown.queue.waiters)];
        for (state, participant) in rows.iter().flat_map(|(state, list)| list.iter().map(move |one| (state, one))) {
            let mode = if participant.shared { "shared" } else { "exclusive" };
            let (token, since) = (participant.token.to_string(), age(participant.since_ms));
            table.push([(*state).to_owned(), participant.member.clone(), token, mode.to_owned(), since]);
        }
        table
    })
}
