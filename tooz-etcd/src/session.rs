//! A session: a lease, and everything that the driver keeps for it.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tooz_core::driver::support::Tombstones;
use tooz_core::driver::{
    Follow, Kind, Loss, NewEntry, NewName, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket,
    Topics, Version,
};
use tooz_core::{ErrorKind, Name, Result};

use crate::client::{Client, History, Lease, Subscription, Txn, Watches, put};
use crate::config::Config;
use crate::fence::Fence;
use crate::key_pool::KeyPool;
use crate::layout::Layout;
use crate::roster::EtcdFollower;
use crate::topic_state::TopicState;

/// How many withdrawn nonces a session remembers, more than the requests that it has under way.
const MAX_TOMBSTONES: usize = 4096;

/// A session. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct EtcdSession(Arc<SessionState>);

impl Deref for EtcdSession {
    type Target = SessionState;

    fn deref(&self) -> &SessionState {
        &self.0
    }
}

/// One lease and everything bound to it.
#[derive(Debug)]
pub(crate) struct SessionState {
    pub(crate) client: Arc<Client>,
    /// Another connection, for messages and snapshots: renewals and locks never wait behind large data.
    pub(crate) bulk: Arc<Client>,
    pub(crate) layout: Layout,
    pub(crate) lease: Lease,
    pub(crate) fence: Fence,
    pub(crate) key_pool: KeyPool,
    pub(crate) withdrawn: Mutex<Tombstones>,
    pub(crate) topics: TopicState,
    pub(crate) watches: Watches,
    /// The watches of topics, whose events contain messages.
    pub(crate) bulk_watches: Watches,
    /// The watch for losses, once it has begun.
    pub(crate) loss_subscription: tokio::sync::Mutex<Option<Subscription>>,
}

impl EtcdSession {
    /// Takes a lease and binds the session's key to it, at one endpoint after the other until one answers.
    pub(crate) async fn open(config: &Config, history: Arc<History>, options: &SessionOptions) -> Result<Self> {
        let client = Arc::new(Client::new(config, history.clone(), options.timeout)?);
        let bulk = Arc::new(Client::new(config, history, options.timeout)?);
        let layout = Layout::new(&config.path, &options.namespace);
        let mut attempts = 1;
        let (lease, revision) = loop {
            match establish(&client, &layout, options).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && attempts < client.len() => {
                    tracing::debug!(%error, "trying the next endpoint");
                    attempts += 1;
                }
                outcome => break outcome?,
            }
        };
        client.begin_session();
        bulk.begin_session();
        let (session_key, member) = (layout.session(lease.id), options.member.as_bytes().to_vec());
        Ok(Self(Arc::new(SessionState {
            fence: Fence::new(client.clone(), session_key, member, lease.id, revision),
            key_pool: KeyPool::default(),
            withdrawn: Mutex::new(Tombstones::new(MAX_TOMBSTONES)),
            topics: TopicState::default(),
            watches: Watches::new(client.clone()),
            bulk_watches: Watches::new(bulk.clone()),
            loss_subscription: tokio::sync::Mutex::default(),
            client,
            bulk,
            layout,
            lease,
        })))
    }
}

/// Returns the lease and the revision of the session's key.
async fn establish(client: &Client, layout: &Layout, options: &SessionOptions) -> Result<(Lease, i64)> {
    // Both requests share the time that one endpoint has.
    let limit = options.timeout / u32::try_from(client.len()).unwrap_or(u32::MAX);
    let deadline = Instant::now() + limit;
    let lease = Lease::grant(client, options.ttl, limit).await?;
    let put = put(&layout.session(lease.id), options.member.as_bytes(), Some(lease.id));
    let rest = deadline.saturating_duration_since(Instant::now());
    let answer = client.txn_within(rest, Txn::new().and_then([put])).await?;
    Ok((lease, answer.revision))
}

#[async_trait]
impl Session for EtcdSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.lease.ttl)
    }

    fn history(&self) -> u64 {
        self.client.session_history()
    }

    async fn renew(&self) -> Result<()> {
        self.lease.renew(&self.client, &self.fence.key).await
    }

    async fn close(&self) -> Result<()> {
        self.client.close();
        self.bulk.close();
        self.bulk_watches.close();
        self.watches.close();
        self.lease.revoke(&self.client).await
    }

    async fn lost(&self) -> Loss {
        self.next_loss().await
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        self.enter_roster(roster, entry).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.leave_roster(roster, ticket).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.withdraw_entry(roster, nonce).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.replace_value(roster, ticket, value).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.evict_entry(roster, seq).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.newer_snapshot(roster, newer_than).await
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(EtcdFollower::new(self, roster))
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.wait_in_background(roster, *ticket).await
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        self.declare_roster(roster).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        self.retract_roster(roster).await
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        self.declared_rosters(kind).await
    }

    async fn rosters(&self, kind: Kind, after: Option<&Name>, limit: usize) -> Result<Vec<Name>> {
        self.read_names(&self.layout.rosters(kind), after, limit).await
    }

    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        self.watch_new_names(added).await
    }

    fn server(&self) -> Option<String> {
        Some(format!("etcd at {}", self.client.addresses()))
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}
