//! A session: each verb is a request to the executor of its directory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::AbortHandle;
use tooz_core::driver::support::session_lost;
use tooz_core::driver::{
    Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, Snapshot, Standing, Ticket, Topics, Version,
};
use tooz_core::{Name, Result};

use crate::error::Outcome;
use crate::process::executor::Executor;
use crate::process::instances;
use crate::process::state::State;
use crate::process::wakeups::Read;
use crate::roster::enter::{self, OwnedEntry};
use crate::roster::{Caller, declare, leave, replace, snapshot, wait};

/// One session of this process. Dropping it ends it in the background.
#[derive(Debug)]
pub(crate) struct FileSession {
    pub(crate) executor: Arc<Executor>,
    pub(crate) caller: Caller,
    pub(crate) timeout: Duration,
    pub(crate) losses: Mutex<mpsc::UnboundedReceiver<Loss>>,
    /// Notified when the session ends.
    pub(crate) over: Arc<Notify>,
    /// The task that ends the session with its runtime.
    pub(crate) runtime_guard: AbortHandle,
}

impl FileSession {
    /// Executes a verb, in the caller's thread if that is possible at once.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        verb: impl FnMut(&mut State) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.executor.run(self.timeout, checked(self.caller.session, verb)).await
    }

    /// As [`run`](Self::run), for a verb that waits for the disk and therefore always runs in the worker thread.
    pub(crate) async fn run_on_disk<T: Send + 'static>(
        &self,
        verb: impl FnMut(&mut State) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.executor.queue(self.timeout, checked(self.caller.session, verb)).await
    }

    /// Reads again and again until there is a result. The end of the session wakes it too.
    pub(crate) async fn run_until_ready<T: Send + 'static>(
        &self,
        read: impl FnMut(&mut State) -> Outcome<Read<T>> + Clone + Send + 'static,
    ) -> Result<T> {
        loop {
            let over = self.over.clone().notified_owned();
            match self.run(read.clone()).await? {
                Read::Ready(result) => return Ok(result),
                Read::Wait(changed) => tokio::select! {
                    () = changed => {}
                    () = over => {}
                },
            }
        }
    }
}

#[async_trait]
impl Session for FileSession {
    fn ttl(&self) -> Option<Duration> {
        None
    }

    async fn renew(&self) -> Result<()> {
        self.run(|_| Ok(())).await
    }

    async fn close(&self) -> Result<()> {
        let session = self.caller.session;
        match self.executor.run(self.timeout, move |state| state.end_session(session)).await {
            // A program that forks next, or removes the directory, finds all files closed.
            Ok(()) if instances::retire(&self.executor) => self.executor.stop(self.timeout).await,
            // Nothing is left to close: the directory was removed, or the session belongs to the parent process.
            Err(error) if !error.is_session_lost() => return Err(error),
            _ => {}
        }
        self.runtime_guard.abort();
        Ok(())
    }

    async fn lost(&self) -> Loss {
        self.losses.lock().await.recv().await.unwrap_or_else(|| Loss::Session(session_lost()))
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let (caller, roster, entry) = (self.caller.clone(), roster.clone(), OwnedEntry::from(entry));
        self.run(move |state| enter::enter(state, &caller, &roster, &entry)).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let (caller, roster, ticket) = (self.caller.clone(), roster.clone(), *ticket);
        self.run(move |state| leave::leave(state, &caller, &roster, &ticket)).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.run(move |state| leave::withdraw(state, &caller, &roster, nonce)).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let (caller, roster, ticket, value) = (self.caller.clone(), roster.clone(), *ticket, value.to_vec());
        self.run(move |state| replace::replace(state, &caller, &roster, &ticket, &value)).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.run(move |state| leave::evict(state, &caller, &roster, seq)).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.run_until_ready(move |state| snapshot::read_roster(state, &caller, &roster, newer_than)).await
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let (caller, roster, ticket) = (self.caller.clone(), roster.clone(), *ticket);
        self.run_until_ready(move |state| wait::read_turn(state, &caller, &roster, &ticket)).await
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.run_on_disk(move |state| declare::declare(state, &caller, &roster)).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.run_on_disk(move |state| declare::retract(state, &caller, &roster)).await
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        let caller = self.caller.clone();
        self.run(move |state| declare::declared(state, &caller, kind)).await
    }

    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        let (caller, after) = (self.caller.clone(), after.cloned());
        self.run(move |state| declare::used(state, &caller, kind, after.as_ref(), limit)).await
    }

    async fn watch_names(&self, changed: &(dyn Fn() + Send + Sync)) -> Result<Infallible> {
        loop {
            let over = self.over.clone().notified_owned();
            let named = self.run(declare::watch_names).await?;
            changed();
            tokio::select! {
                () = named => {}
                () = over => {}
            }
        }
    }

    fn server(&self) -> Option<String> {
        Some(format!("SQLite {} in {}", rusqlite::version(), self.executor.directory().path().display()))
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}

impl Drop for FileSession {
    fn drop(&mut self) {
        self.runtime_guard.abort();
        end_in_background(&self.executor, self.caller.session);
    }
}

/// Ends a session that no caller waits for.
pub(crate) fn end_in_background(executor: &Executor, session: i64) {
    executor.submit(move |state| {
        if let Err(fault) = state.end_session(session) {
            tracing::warn!(?fault, "failed to end a session that was dropped; trying again");
        }
    });
}

/// A verb that fails once its session is over.
fn checked<T>(session: i64, mut verb: impl FnMut(&mut State) -> Outcome<T>) -> impl FnMut(&mut State) -> Outcome<T> {
    move |state| {
        state.session(session)?;
        verb(state)
    }
}
