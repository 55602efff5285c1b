//! A session: a lease, and everything that the driver keeps for it.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tooz_core::driver::support::{Tombstones, session_closed};
use tooz_core::driver::{
    Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket, Topics, Version,
};
use tooz_core::{ErrorKind, Name, Result};

use crate::client::{Client, Lease, Txn, Watches, put};
use crate::config::Config;
use crate::fence::Fence;
use crate::key_pool::KeyPool;
use crate::layout::Layout;
use crate::losses::Losses;
use crate::publisher::Publisher;

/// How many withdrawn nonces a session remembers, more than the requests that it has under way.
const MAX_TOMBSTONES: usize = 4096;

/// One lease and everything bound to it.
#[derive(Debug)]
pub(crate) struct EtcdSession {
    pub(crate) client: Arc<Client>,
    pub(crate) layout: Layout,
    pub(crate) lease: Lease,
    pub(crate) fence: Fence,
    pub(crate) key_pool: Arc<KeyPool>,
    pub(crate) withdrawn: Mutex<Tombstones>,
    pub(crate) publisher: Publisher,
    pub(crate) watches: Arc<Watches>,
    losses: Losses,
    closed: AtomicBool,
    revoked: AtomicBool,
}

impl EtcdSession {
    /// Takes a lease and binds the session's key to it, at one endpoint after the other until one answers.
    pub(crate) async fn open(config: &Config, options: &SessionOptions) -> Result<Self> {
        let start = std::hash::RandomState::new().build_hasher().finish() as usize;
        let client = Arc::new(Client::new(config, options.timeout, start)?);
        let layout = Layout::new(&config.path, &options.namespace);
        let share = options.timeout / u32::try_from(client.len()).unwrap_or(u32::MAX);
        let mut attempts = client.len();
        let (lease, revision) = loop {
            attempts -= 1;
            match establish(&client, &layout, options, share).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && attempts > 0 => {
                    tracing::debug!(%error, "trying the next endpoint");
                }
                outcome => break outcome?,
            }
        };
        let session_key = layout.session(lease.id);
        let watches = Arc::new(Watches::new(client.clone()));
        let key_pool = Arc::new(KeyPool::default());
        Ok(Self {
            losses: Losses {
                client: client.clone(),
                watches: watches.clone(),
                key_pool: key_pool.clone(),
                session_key: session_key.clone(),
                notes: layout.evictions(lease.id),
                subscription: tokio::sync::Mutex::default(),
            },
            fence: Fence::new(client.clone(), session_key, options.member.as_bytes().to_vec(), lease.id, revision),
            publisher: Publisher::new(client.clone(), layout.clone()),
            key_pool,
            watches,
            client,
            layout,
            lease,
            withdrawn: Mutex::new(Tombstones::new(MAX_TOMBSTONES)),
            closed: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
        })
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(session_closed()) } else { Ok(()) }
    }
}

/// Returns the lease and the revision of the session's key.
async fn establish(
    client: &Client,
    layout: &Layout,
    options: &SessionOptions,
    share: Duration,
) -> Result<(Lease, i64)> {
    let deadline = Instant::now() + share;
    let lease = Lease::grant(client, options.ttl, share).await?;
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

    async fn renew(&self) -> Result<()> {
        self.check_open()?;
        self.lease.renew(&self.client).await
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        self.watches.close();
        if !self.revoked.load(Ordering::SeqCst) {
            self.lease.revoke(&self.client).await?;
            self.revoked.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn lost(&self) -> Loss {
        self.losses.next().await
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        self.check_open()?;
        self.enter_roster(roster, entry).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.check_open()?;
        self.leave_roster(roster, ticket).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.check_open()?;
        self.withdraw_entry(roster, nonce).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.check_open()?;
        self.replace_value(roster, ticket, value).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.check_open()?;
        self.evict_entry(roster, seq).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.check_open()?;
        self.newer_snapshot(roster, newer_than).await
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.check_open()?;
        self.wait_for_admission(roster, ticket).await
    }

    async fn declare(&self, roster: &Roster) -> Result<bool> {
        self.check_open()?;
        self.declare_roster(roster).await
    }

    async fn retract(&self, roster: &Roster) -> Result<()> {
        self.check_open()?;
        self.retract_roster(roster).await
    }

    async fn declared(&self, kind: Kind) -> Result<Vec<Name>> {
        self.check_open()?;
        self.declared_rosters(kind).await
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}
