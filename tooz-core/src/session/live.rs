//! One session of the backend, as the objects that use it see it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::follower::RosterFollower;
use super::liveness::Liveness;
use super::process::OwnerProcess;
use super::reaper::{Reaper, Removal};
use super::retry::{Outcome, retry};
use super::shared_tasks::SharedTasks;
use super::topic_reader::TopicReader;
use crate::driver::support::lock;
use crate::driver::{Nonce, Offset, Roster, Session};
use crate::time::Moment;
use crate::{Error, Name, Result};

/// A session that was opened, until it is lost and after. It dereferences to its [`Liveness`].
#[derive(Debug)]
pub(crate) struct LiveSession {
    session: Arc<dyn Session>,
    liveness: Arc<Liveness>,
    /// Where the tasks of the session run.
    runtime: Handle,
    /// How long a request that fails is repeated.
    patience: Duration,
    /// The entries of this session, with the token that reports the eviction of each.
    evictions: Mutex<HashMap<Nonce, CancellationToken>>,
    followers: SharedTasks<Arc<Roster>, RosterFollower>,
    readers: SharedTasks<Name, TopicReader>,
    reaper: Reaper,
}

impl LiveSession {
    /// Takes over a session whose opening was requested at `sent`. Its tasks run in the current runtime.
    pub(crate) fn start(session: Box<dyn Session>, sent: Moment, patience: Duration) -> Arc<Self> {
        let session: Arc<dyn Session> = session.into();
        let liveness = Arc::new(Liveness::new(OwnerProcess::current(), session.ttl(), sent));
        Arc::new(Self {
            reaper: Reaper::start(session.clone(), liveness.clone()),
            session,
            liveness,
            runtime: Handle::current(),
            patience,
            evictions: Mutex::default(),
            followers: SharedTasks::default(),
            readers: SharedTasks::default(),
        })
    }

    /// The driver's session, for requests that are not repeated.
    pub(crate) fn session(&self) -> &Arc<dyn Session> {
        &self.session
    }

    /// Records that the renewal sent at `sent` has succeeded.
    pub(crate) fn renewed(&self, sent: Moment) {
        self.liveness.renewed(sent, self.session.expiry());
    }

    /// Sends a request, and repeats it for at most the request timeout while the backend is not available.
    pub(crate) async fn call<'a, T, F>(&'a self, request: impl FnMut(&'a dyn Session) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.call_tracked(request).await.result
    }

    /// As [`call`](Self::call); returns too whether the request was repeated.
    pub(crate) async fn call_tracked<'a, T, F>(&'a self, mut request: impl FnMut(&'a dyn Session) -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T>>,
    {
        retry(&self.liveness, Some(self.patience), || request(&*self.session)).await
    }

    /// Sends a request that waits for other clients, and repeats it until it succeeds or the session is lost.
    pub(crate) async fn wait<'a, T, F>(&'a self, mut request: impl FnMut(&'a dyn Session) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        retry(&self.liveness, None, || request(&*self.session)).await.result
    }

    /// Returns a token that is cancelled when another client removes the entry with this nonce.
    pub(crate) fn watch_eviction(&self, nonce: Nonce) -> CancellationToken {
        let token = CancellationToken::new();
        lock(&self.evictions).insert(nonce, token.clone());
        token
    }

    /// Drops the token of an entry that is over.
    pub(crate) fn forget(&self, nonce: Nonce) {
        lock(&self.evictions).remove(&nonce);
    }

    /// Records that another client has removed an entry, and returns whether the entry was known here.
    pub(crate) fn record_eviction(&self, nonce: Nonce) -> bool {
        let token = lock(&self.evictions).remove(&nonce);
        token.inspect(CancellationToken::cancel).is_some()
    }

    /// The follower of `roster` that all its watchers in this session share.
    pub(crate) fn follower(&self, roster: &Arc<Roster>) -> Arc<RosterFollower> {
        let (session, liveness) = (self.session.clone(), self.liveness.clone());
        self.followers.get_or_start(roster, || RosterFollower::start(&self.runtime, session, liveness, roster.clone()))
    }

    /// The reader of `topic` that all its subscribers in this session share. One that must be started begins after `after`.
    pub(crate) fn reader(&self, topic: &Name, after: Offset) -> Arc<TopicReader> {
        let (session, liveness) = (self.session.clone(), self.liveness.clone());
        self.readers.get_or_start(topic, || TopicReader::start(&self.runtime, session, liveness, topic.clone(), after))
    }

    /// The error if this process is not the one that opened the session.
    pub(crate) fn check_process(&self) -> Result<()> {
        self.liveness.process().check()
    }

    /// Starts a task in the runtime of the session. In a fork, it does nothing.
    pub(crate) fn spawn<F>(&self, work: F)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(self.liveness.process().run(work));
    }

    /// Removes an entry in the background.
    pub(crate) fn remove_later(&self, removal: Removal) {
        self.reaper.remove(removal);
    }

    /// The cause if the session is lost.
    pub(crate) fn loss(&self) -> Option<Error> {
        (!self.liveness.is_alive()).then(|| self.liveness.cause())
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        // In a fork, the driver's session must not be dropped either: it could end the session of the parent.
        if !self.liveness.process().is_current() {
            std::mem::forget(self.session.clone());
        }
    }
}

impl std::ops::Deref for LiveSession {
    type Target = Liveness;

    fn deref(&self) -> &Liveness {
        &self.liveness
    }
}
