//! A session: each verb goes to the engine of its directory, which carries out one after another.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify, mpsc};
use tooz_core::driver::{
    Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, Snapshot, Standing, Ticket, Topics, Version,
};
use tooz_core::{Name, Result};

use crate::core::Core;
use crate::engine::{Engine, Unheard};
use crate::error::{Outcome, session_lost};
use crate::roster::{self, Caller, Newcomer};
use crate::watch::{self, Look};

/// One session of this process. Dropping it ends it in the background.
#[derive(Debug)]
pub(crate) struct FileSession {
    pub(crate) engine: Arc<Engine>,
    pub(crate) caller: Caller,
    pub(crate) timeout: Duration,
    pub(crate) losses: Mutex<mpsc::UnboundedReceiver<Loss>>,
    /// Rung when the session ends.
    pub(crate) over: Arc<Notify>,
}

impl FileSession {
    /// Carries out a verb at once if the engine is idle, else in its turn, even if the caller has given up by then.
    async fn act<T: Send + 'static>(&self, verb: impl FnMut(&mut Core) -> Outcome<T> + Send + 'static) -> Result<T> {
        self.engine.call(self.timeout, Unheard::Run, checked(self.caller.session, verb)).await
    }

    /// As [`act`](Self::act), but a caller that gives up before its turn comes takes the verb back.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        verb: impl FnMut(&mut Core) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.engine.call(self.timeout, Unheard::Skip, checked(self.caller.session, verb)).await
    }

    /// As [`act`](Self::call), for a verb that waits for the disk and therefore always runs on the engine's thread.
    pub(crate) async fn slowly<T: Send + 'static>(
        &self,
        verb: impl FnMut(&mut Core) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.engine.queue(self.timeout, Unheard::Run, checked(self.caller.session, verb)).await
    }

    /// Looks again and again until there is an answer. The end of the session wakes it too.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnMut(&mut Core) -> Outcome<Look<T>> + Clone + Send + 'static,
    ) -> Result<T> {
        loop {
            let over = self.over.clone().notified_owned();
            match self.call(look.clone()).await? {
                Look::Ready(answer) => return Ok(answer),
                Look::Wait(changed) => tokio::select! {
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
        self.call(|_| Ok(())).await
    }

    async fn close(&self) -> Result<()> {
        let session = self.caller.session;
        self.engine.call(self.timeout, Unheard::Run, move |core| core.end_session(session)).await
    }

    async fn lost(&self) -> Loss {
        self.losses.lock().await.recv().await.unwrap_or_else(|| Loss::Session(session_lost()))
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        let (caller, roster, entry) = (self.caller.clone(), roster.clone(), Newcomer::from(entry));
        self.call(move |core| roster::enter(core, &caller, &roster, &entry)).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        let (caller, roster, ticket) = (self.caller.clone(), roster.clone(), *ticket);
        self.act(move |core| roster::leave(core, &caller, &roster, &ticket)).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.act(move |core| roster::withdraw(core, &caller, &roster, nonce)).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        let (caller, roster, ticket, value) = (self.caller.clone(), roster.clone(), *ticket, value.to_vec());
        self.act(move |core| roster::replace(core, &caller, &roster, &ticket, &value)).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.act(move |core| roster::evict(core, &caller, &roster, seq)).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.look(move |core| watch::look_at_roster(core, &caller, &roster, newer_than)).await
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        let (caller, roster, ticket) = (self.caller.clone(), roster.clone(), *ticket);
        self.look(move |core| watch::look_at_turn(core, &caller, &roster, &ticket)).await
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.slowly(move |core| roster::declare(core, &caller, &roster)).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        let (caller, roster) = (self.caller.clone(), roster.clone());
        self.slowly(move |core| roster::retract(core, &caller, &roster)).await
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        let caller = self.caller.clone();
        self.call(move |core| roster::declared(core, &caller, kind)).await
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}

impl Drop for FileSession {
    fn drop(&mut self) {
        let session = self.caller.session;
        self.engine.submit(Box::new(move |core| {
            if let Err(fault) = core.end_session(session) {
                tracing::warn!(?fault, "failed to end a session that was dropped; trying again");
            }
        }));
    }
}

/// A verb that fails once its session is over.
fn checked<T>(session: i64, mut verb: impl FnMut(&mut Core) -> Outcome<T>) -> impl FnMut(&mut Core) -> Outcome<T> {
    move |core| {
        core.check_session(session)?;
        verb(core)
    }
}
