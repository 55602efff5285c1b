//! A session: its lease, its endpoints, and what it must remember of its own entries.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{GetResponse, KeyValue, PutOptions, TxnOpResponse, TxnResponse};
use tokio::time::Instant;
use tooz_core::driver::{
    Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket, Topics, Version,
};
use tooz_core::{ErrorKind, Name, Result};

use crate::client::{Client, lock};
use crate::config::Config;
use crate::error::{session_closed, unexpected_answer};
use crate::gate::Gate;
use crate::layout::Layout;
use crate::lease::Lease;
use crate::losses::Losses;
use crate::outbox::Outbox;
use crate::places::Places;
use crate::turn::Waiting;
use crate::watch::Watches;

/// How many withdrawn nonces a session remembers. Core draws a fresh one for each entry, so the latest few would do.
const REMEMBERED: usize = 4096;

/// One lease and everything bound to it.
#[derive(Debug)]
pub(crate) struct EtcdSession {
    pub(crate) client: Arc<Client>,
    pub(crate) layout: Layout,
    pub(crate) lease: Lease,
    /// Bound to the lease: where it is gone, so is the session.
    pub(crate) session_key: Vec<u8>,
    pub(crate) gate: Gate,
    pub(crate) places: Places,
    /// Those of our entries that wait and have not been waited for yet.
    pub(crate) waiting: Mutex<HashMap<Nonce, Waiting>>,
    pub(crate) withdrawn: Mutex<VecDeque<Nonce>>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) watches: Watches,
    pub(crate) losses: tokio::sync::Mutex<Losses>,
    member: Name,
    closed: AtomicBool,
    revoked: AtomicBool,
}

impl EtcdSession {
    /// Takes a lease, at one endpoint after the other, and binds the session's key to it.
    pub(crate) async fn open(config: &Config, options: &SessionOptions) -> Result<Self> {
        let start = std::hash::RandomState::new().build_hasher().finish() as usize;
        let client = Arc::new(Client::new(config, options.timeout, start)?);
        let layout = Layout::new(&config.path, &options.namespace);
        let share = options.timeout / u32::try_from(client.len()).unwrap_or(u32::MAX);
        let mut attempts = client.len();
        let (lease, gate) = loop {
            attempts -= 1;
            match establish(&client, &layout, options, share).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && attempts > 0 => {
                    tracing::debug!(%error, "trying the next endpoint");
                }
                outcome => break outcome?,
            }
        };
        let session_key = layout.session(lease.id);
        Ok(Self {
            watches: Watches::new(client.clone()),
            outbox: Outbox::new(client.clone(), layout.clone()),
            client,
            layout,
            lease,
            session_key,
            gate: Gate::new(gate),
            places: Places::default(),
            waiting: Mutex::default(),
            withdrawn: Mutex::default(),
            losses: tokio::sync::Mutex::default(),
            member: options.member.clone(),
            closed: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(session_closed()) } else { Ok(()) }
    }

    /// Puts under our lease.
    pub(crate) fn bound(&self) -> Option<PutOptions> {
        Some(PutOptions::new().with_lease(self.lease.id))
    }

    /// The value of the session's key, for the eyes of an operator.
    pub(crate) fn session_value(&self) -> Vec<u8> {
        self.member.as_bytes().to_vec()
    }

    /// From now on no `enter` with this nonce is sent.
    pub(crate) fn remember_withdrawn(&self, nonce: Nonce) {
        let mut withdrawn = lock(&self.withdrawn);
        if withdrawn.len() == REMEMBERED {
            withdrawn.pop_front();
        }
        withdrawn.push_back(nonce);
    }
}

async fn establish(
    client: &Client,
    layout: &Layout,
    options: &SessionOptions,
    share: Duration,
) -> Result<(Lease, i64)> {
    let deadline = Instant::now() + share;
    let lease = Lease::grant(client, options.ttl, share).await?;
    let (key, value) = (layout.session(lease.id), options.member.as_bytes().to_vec());
    let bound = PutOptions::new().with_lease(lease.id);
    let rest = deadline.saturating_duration_since(Instant::now());
    let put =
        client.call(rest, |mut connection| async move { connection.kv.put(key, value, Some(bound)).await }).await?;
    Ok((lease, put.header().ok_or_else(unexpected_answer)?.revision()))
}

/// The key-values that each range of a transaction found, in order.
pub(crate) fn gets(answer: &TxnResponse) -> impl Iterator<Item = Vec<KeyValue>> + use<> {
    ranges(answer).map(|mut found| found.take_kvs())
}

/// What each range of a transaction found, in order.
pub(crate) fn ranges(answer: &TxnResponse) -> impl Iterator<Item = GetResponse> + use<> {
    answer.op_responses().into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(found) => Some(found),
        _ => None,
    })
}

/// The revision of the store at which a transaction ran.
pub(crate) fn revision_of(answer: &TxnResponse) -> Result<i64> {
    answer.header().map(|header| header.revision()).ok_or_else(unexpected_answer)
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
        self.next_loss().await
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
        self.wait_for_turn(roster, ticket).await
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
