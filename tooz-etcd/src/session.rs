//! A session: a lease, and everything that the driver keeps for it.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tooz_core::driver::support::no_answer;
use tooz_core::driver::{
    Follow, Kind, Loss, NewEntry, NewName, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket,
    Topics, Version, snapshot_newer_than,
};
use tooz_core::{ErrorKind, Name, Result};

use crate::client::{Client, History, Lease, Subscription, Txn, Watches, put};
use crate::config::Config;
use crate::fence::Fence;
use crate::key_pool::KeyPool;
use crate::layout::Layout;
use crate::roster::EtcdFollower;
use crate::topic_state::TopicState;

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
    /// The member's name, for operators.
    pub(crate) member: Vec<u8>,
    pub(crate) lease: Lease,
    pub(crate) fence: Fence,
    pub(crate) key_pool: KeyPool,
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
        let (layout, member) = (Layout::new(&config.path, &options.namespace), options.member.as_bytes().to_vec());
        let (mut others, limit) = (client.others(), options.timeout / (client.others() + 1));
        let (lease, revision) = loop {
            let established = timeout(limit, establish(&client, &layout, &member, options.ttl)).await;
            let outcome = established.unwrap_or_else(|_| {
                client.disconnect();
                Err(no_answer("etcd", limit))
            });
            match outcome {
                Err(error) if error.kind() == ErrorKind::Unavailable && others > 0 => others -= 1,
                outcome => break outcome?,
            }
        };
        client.session_history();
        bulk.session_history();
        Ok(Self(Arc::new(SessionState {
            fence: Fence::new(client.clone(), layout.session(lease.id), revision),
            key_pool: KeyPool::default(),
            topics: TopicState::default(),
            watches: Watches::new(client.clone()),
            bulk_watches: Watches::new(bulk.clone()),
            loss_subscription: tokio::sync::Mutex::default(),
            client,
            bulk,
            layout,
            member,
            lease,
        })))
    }
}

/// Returns the lease and the revision of the session's key.
async fn establish(client: &Client, layout: &Layout, member: &[u8], ttl: Duration) -> Result<(Lease, i64)> {
    let lease = Lease::grant(client, ttl).await?;
    let put = put(&layout.session(lease.id), member, Some(lease.id));
    let answer = client.txn(Txn::new().and_then([put])).await?;
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
        let revoked = self.lease.revoke(&self.client).await;
        // With the connections, the watches end.
        self.client.disconnect();
        self.bulk.disconnect();
        revoked
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
        match newer_than {
            None => Ok(self.read_stored(roster).await?.snapshot(&self.layout.roster(roster))),
            Some(version) => snapshot_newer_than(self, roster, version).await,
        }
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
        self.read_names(&self.layout.names(kind.as_str()), after, limit).await
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
