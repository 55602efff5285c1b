//! A session: each verb is a request to the executor of its directory.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;
use tooz_core::driver::support::session_lost;
use tooz_core::driver::{
    Follow, Kind, Loss, NewEntry, NewName, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket,
    Topics, Update, Version,
};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::db::busy;
use crate::db::objects::{self, Target};
use crate::error::{Outcome, timeout_error};
use crate::process::executor::Executor;
use crate::process::instances;
use crate::process::state::{LocalSession, Read, State};
use crate::roster::enter::{self, OwnedEntry};
use crate::roster::follow::{self, Place};
use crate::roster::{declare, leave, replace, snapshot, wait};

/// One session of this process. Dropping it ends it in the background.
#[derive(Debug)]
pub(crate) struct FileSession {
    executor: Arc<Executor>,
    id: u64,
    namespace: Arc<str>,
    timeout: Duration,
    losses: Mutex<mpsc::UnboundedReceiver<Loss>>,
    /// Notified when the session ends.
    over: Arc<Notify>,
    /// The task that ends the session with its runtime.
    runtime_guard: AbortHandle,
}

impl FileSession {
    pub(crate) async fn open(directory: PathBuf, options: &SessionOptions) -> Result<Self> {
        let (limit, namespace) = (options.timeout, Arc::from(options.namespace.as_str()));
        let deadline = busy::deadline(limit);
        // The thread makes the session. If the caller has given up, the session is dropped, which ends it.
        let opening = spawn_blocking(move || {
            let (reports, losses) = mpsc::unbounded_channel();
            let over = Arc::new(Notify::new());
            let (executor, id) =
                instances::add_session(&directory, LocalSession::new(reports, over.clone()), deadline)?;
            let runtime_guard = end_with_runtime(executor.clone(), id);
            Ok(Self { executor, id, namespace, timeout: limit, losses: Mutex::new(losses), over, runtime_guard })
        });
        let opened = timeout(limit, opening).await.map_err(|_| timeout_error())?;
        opened.map_err(|error| Error::new(ErrorKind::Unexpected, "failed to open the directory").with_source(error))?
    }

    /// An object as the requests of this session name it.
    pub(crate) fn target(&self, kind: &'static str, name: &Name) -> Target {
        Target { session: self.id, namespace: self.namespace.clone(), kind, name: name.clone() }
    }

    fn roster(&self, roster: &Roster) -> Target {
        self.target(roster.kind.as_str(), &roster.name)
    }

    /// Executes a verb, which fails once the session is over.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        mut verb: impl FnMut(&mut State) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let session = self.id;
        let checked = move |state: &mut State| {
            state.session(session)?;
            verb(state)
        };
        self.executor.run(self.timeout, checked).await
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
                Read::Wait(mut changed) => tokio::select! {
                    _ = changed.changed() => {}
                    () = over => {}
                },
            }
        }
    }

    /// A page of the names of objects that fulfil a condition.
    pub(crate) async fn names_of(
        &self,
        kind: &'static str,
        condition: &'static str,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Name>> {
        let (namespace, after) = (self.namespace.clone(), after.cloned());
        self.run(move |state| objects::names(&state.db, &namespace, kind, condition, after.as_ref(), limit)).await
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
        let (session, changed) = (self.id, self.executor.changed.clone().notified_owned());
        let end = move |state: &mut State| {
            state.end_session(session)?;
            Ok(state.has_sessions())
        };
        match self.executor.run(self.timeout, end).await {
            // A program that forks next, or removes the directory, finds all files closed. A worker that needs longer ends
            // in the background.
            Ok(false) => drop(timeout(self.timeout, changed).await),
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
        let (target, entry) = (self.roster(roster), OwnedEntry::from(entry));
        self.run(move |state| enter::enter(state, &target, &entry)).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let (target, ticket) = (self.roster(roster), *ticket);
        self.run(move |state| leave::leave(state, &target, &ticket)).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let target = self.roster(roster);
        self.run(move |state| leave::withdraw(state, &target, nonce)).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let (target, ticket, value) = (self.roster(roster), *ticket, value.to_vec());
        self.run(move |state| replace::replace(state, &target, &ticket, &value)).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let target = self.roster(roster);
        self.run(move |state| leave::evict(state, &target, seq)).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let target = self.roster(roster);
        self.run_until_ready(move |state| snapshot::read_or_wait(state, &target, newer_than)).await
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(FileFollower { session: self, target: self.roster(roster), place: None })
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let (target, ticket) = (self.roster(roster), *ticket);
        self.run_until_ready(move |state| wait::read_turn(state, &target, &ticket)).await
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        let target = self.roster(roster);
        self.run(move |state| declare::declare(state, &target)).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        let target = self.roster(roster);
        self.run(move |state| declare::retract(state, &target)).await
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        self.names_of(kind.as_str(), "declared", None, usize::MAX).await
    }

    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.names_of(kind.as_str(), "occupied", after, limit).await
    }

    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        loop {
            let over = self.over.clone().notified_owned();
            let (mut names, mut missed) = self.run(State::watch_names).await?;
            added(NewName::Any);
            let add = async {
                while let Ok(id) = names.recv().await {
                    let namespace = self.namespace.clone();
                    self.run(move |state| objects::name_of(&state.db, id, &namespace))
                        .await?
                        .into_iter()
                        .for_each(added);
                }
                Ok(())
            };
            tokio::select! {
                outcome = add => outcome?,
                _ = missed.changed() => {}
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

/// A follower of one roster.
struct FileFollower<'a> {
    session: &'a FileSession,
    target: Target,
    place: Option<Place>,
}

#[async_trait]
impl Follow for FileFollower<'_> {
    async fn next(&mut self) -> Result<Update> {
        let (target, place) = (self.target.clone(), self.place.clone());
        let (place, update) =
            self.session.run_until_ready(move |state| follow::next(state, &target, place.as_ref())).await?;
        self.place = Some(place);
        Ok(update)
    }
}

impl Drop for FileSession {
    fn drop(&mut self) {
        self.runtime_guard.abort();
        end_in_background(&self.executor, self.id);
    }
}

fn end_in_background(executor: &Executor, session: u64) {
    executor.submit(move |state| {
        if let Err(fault) = state.end_session(session) {
            tracing::warn!(?fault, "failed to end a session that was dropped; trying again");
        }
    });
}

/// Ends a session when the runtime that opened it ends, since no task renews or releases anything after that.
fn end_with_runtime(executor: Arc<Executor>, session: u64) -> AbortHandle {
    struct EndSession(Arc<Executor>, u64);

    impl Drop for EndSession {
        fn drop(&mut self) {
            end_in_background(&self.0, self.1);
        }
    }

    let end = EndSession(executor, session);
    let forever = async move {
        let _end = end;
        std::future::pending::<()>().await;
    };
    tokio::spawn(forever).abort_handle()
}
