//! A session: it hands each verb to the part that implements it, and ends in time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tooz_core::driver::{
    Follow, Kind, Loss, NewEntry, NewName, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket,
    Topics, Version,
};
use tooz_core::time::{Moment, sleep_until};
use tooz_core::{Name, Result};

use crate::cleanup::{self, Cleanup};
use crate::client::Client;
use crate::config::Config;
use crate::error::{Answer, Fault, session_lost};
use crate::history::History;
use crate::layout::{Layout, parent};
use crate::own_entries::OwnEntries;
use crate::renewal::Renewals;
use crate::roster::{Rosters, ZooKeeperFollower};
use crate::topics::ZooKeeperTopics;

/// A longer sleep would not notice in time that the host was suspended.
const SUSPEND_CHECK: Duration = Duration::from_secs(1);

/// The session as core sees it.
#[derive(Debug)]
pub(crate) struct ZooKeeperSession {
    hosts: String,
    client: Arc<Client>,
    renewals: Arc<Renewals>,
    own: Arc<OwnEntries>,
    cleanup: Arc<Cleanup>,
    rosters: Arc<Rosters>,
    topics: ZooKeeperTopics,
    losses: Mutex<mpsc::UnboundedReceiver<Loss>>,
    background: [AbortHandle; 2],
}

impl ZooKeeperSession {
    pub(crate) async fn open(config: &Config, history: &Arc<History>, options: &SessionOptions) -> Answer<Self> {
        let opened = Moment::now();
        let client = Client::connect(config, options.ttl, options.timeout).await?;
        let sent = Moment::now();
        let layout = Arc::new(Layout::new(&config.chroot, &options.namespace));
        let id = start_heartbeat(&client, &layout, options.member.as_bytes(), history).await?;
        let renewals = Arc::new(Renewals::new(client.clone(), opened, sent));
        let own = Arc::new(OwnEntries::default());
        let cleanup = Arc::new(Cleanup::new(client.clone(), layout.clone(), own.clone()));
        let (sender, losses) = mpsc::unbounded_channel();
        let rosters = Rosters {
            client: client.clone(),
            layout: layout.clone(),
            session: id,
            own: own.clone(),
            cleanup: cleanup.clone(),
            losses: sender,
            withdrawals: Default::default(),
        };
        let background = [
            client.spawn(end_in_time(client.clone(), renewals.clone(), cleanup.clone())),
            client.spawn(cleanup::run(Arc::downgrade(&cleanup))),
        ];
        Ok(Self {
            hosts: config.hosts.join(", "),
            topics: ZooKeeperTopics::new(client.clone(), layout),
            client,
            renewals,
            own,
            cleanup,
            rosters: Arc::new(rosters),
            losses: Mutex::new(losses),
            background,
        })
    }
}

async fn start_heartbeat(client: &Client, layout: &Layout, member: &[u8], history: &Arc<History>) -> Answer<i64> {
    let path = layout.heartbeat(Nonce::random());
    match client.start_heartbeat(&path, member, history).await {
        Err(Fault::NoNode) => {
            client.create_all(parent(&path)).await?;
            client.start_heartbeat(&path, member, history).await
        }
        outcome => outcome,
    }
}

/// Ends the session when the leader may end it, whatever the client crate believes and keeps alive.
async fn end_in_time(client: Arc<Client>, renewals: Arc<Renewals>, cleanup: Arc<Cleanup>) {
    while !renewals.expiry().has_passed() && client.check().is_ok() {
        tokio::select! {
            () = sleep_until(renewals.expiry(), SUSPEND_CHECK) => {}
            _ = client.ended() => {}
        }
    }
    client.end("it was not renewed in time");
    // Entries that the client crate has moved into another session, or that the server keeps, are removed at once if possible.
    let _ = client.close(async |backend| cleanup.remove_all(&*backend).await).await;
}

#[async_trait]
impl Session for ZooKeeperSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.renewals.ttl())
    }

    fn history(&self) -> u64 {
        self.client.history()
    }

    async fn renew(&self) -> Result<()> {
        self.renewals.renew().await.map_err(Fault::into_error)
    }

    fn expiry(&self) -> Option<Moment> {
        Some(self.renewals.expiry())
    }

    async fn close(&self) -> Result<()> {
        let was_open = self.client.check().is_ok();
        self.client.end("it was closed");
        match self.client.close(async |backend| self.cleanup.remove_all(&*backend).await).await {
            Err(fault) if was_open && fault.is_retryable() => Err(fault.into_error()),
            _ => Ok(()),
        }
    }

    async fn lost(&self) -> Loss {
        let mut losses = self.losses.lock().await;
        tokio::select! {
            biased;
            Some(loss) = losses.recv() => loss,
            reason = self.client.ended() => Loss::Session(session_lost(&reason)),
        }
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        self.rosters.enter(roster, entry).await.map_err(Fault::into_error)
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.rosters.leave(roster, ticket).await.map_err(Fault::into_error)
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.rosters.withdraw(roster, nonce).await.map_err(Fault::into_error)
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.rosters.replace(roster, ticket, value).await.map_err(Fault::into_error)
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.rosters.evict(roster, seq).await.map_err(Fault::into_error)
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.rosters.snapshot(roster, newer_than).await.map_err(Fault::into_error)
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(ZooKeeperFollower::new(&self.rosters, roster))
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.rosters.await_turn(roster, ticket).await.map_err(Fault::into_error)
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        self.rosters.declare(roster).await.map_err(Fault::into_error)
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        self.rosters.retract(roster).await.map_err(Fault::into_error)
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        self.rosters.declared(kind).await.map_err(Fault::into_error)
    }

    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.rosters.used(kind, after, limit).await.map_err(Fault::into_error)
    }

    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        self.rosters.watch_names(added).await.map_err(Fault::into_error)
    }

    fn server(&self) -> Option<String> {
        Some(format!("ZooKeeper at {}", self.hosts))
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(&self.topics)
    }
}

impl Drop for ZooKeeperSession {
    fn drop(&mut self) {
        self.background.iter().for_each(AbortHandle::abort);
        self.client.end("it was dropped");
        // Stops the removal watches.
        drop(self.own.drain());
    }
}
