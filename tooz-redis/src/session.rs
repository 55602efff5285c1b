//! One session: how it begins, is kept alive and ends. What it does with rosters is in `roster.rs` and `watch.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tooz_core::driver::{
    Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket, Topics, Version,
};
use tooz_core::{Name, Result};

use crate::client::Client;
use crate::config::Config;
use crate::error::session_lost;
use crate::feed::Feed;
use crate::layout::{Layout, escape};
use crate::script::{CLOSE, OPEN, Reply, Script};

/// A session: a key that lives as long as it is renewed.
#[derive(Debug)]
pub(crate) struct RedisSession {
    pub(crate) client: Arc<Client>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) layout: Layout,
    /// Random, so that no session is ever taken for an earlier one of the same member.
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) ttl: Duration,
    /// Until when the session lives at least, by our own clock: counted from the send of the last renewal.
    alive_until: std::sync::Mutex<Instant>,
    closed: AtomicBool,
    losses: Mutex<mpsc::UnboundedReceiver<Loss>>,
    tasks: Vec<JoinHandle<()>>,
}

impl RedisSession {
    pub(crate) async fn open(config: &Config, options: &SessionOptions) -> Result<Self> {
        let opening = Self::try_open(config, options);
        let limited = tokio::time::timeout(options.timeout, opening).await;
        limited.unwrap_or_else(|_| Err(crate::error::timed_out(options.timeout, &config.address)))
    }

    async fn try_open(config: &Config, options: &SessionOptions) -> Result<Self> {
        let client = Arc::new(Client::connect(config, options.timeout).await?);
        let (layout, id) = (Layout::new(&options.namespace), Nonce::random().to_string());
        let key = layout.session(&id);
        let (sender, losses) = mpsc::unbounded_channel();
        let feed = Arc::new(Feed::new(client.clone(), id.clone(), key.clone(), sender));
        let interval = config.health_check_interval.unwrap_or(options.timeout / 2).min(Duration::from_secs(2));
        let tasks = vec![tokio::spawn(feed.clone().deliver()), tokio::spawn(feed.clone().keep_up(interval))];
        // Redis counts in milliseconds.
        let ttl = Duration::from_millis(u64::try_from(options.ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        let closed = AtomicBool::new(false);
        let alive_until = std::sync::Mutex::new(Instant::now() + ttl);
        let session =
            Self { client, feed, layout, id, key, ttl, alive_until, closed, losses: Mutex::new(losses), tasks };
        session.begin(&options.member).await?;
        Ok(session)
    }

    /// Writes the session's key, which also proves that the commands are allowed; then that notifications arrive.
    async fn begin(&self, member: &Name) -> Result<()> {
        let ttl = self.ttl.as_millis().to_string();
        self.client.run(&OPEN, &self.key, &[self.id.as_bytes(), ttl.as_bytes(), member.as_bytes()]).await?;
        self.feed.start().await?;
        self.client.introduce(&format!("tooz:{}", escape(member.as_bytes()))).await;
        match self.client.eviction_policy().await {
            Some(policy) if policy != "noeviction" => {
                tracing::warn!(policy, "the server may evict locks when its memory is full; set noeviction");
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs a script on one key, unless the session is closed.
    pub(crate) async fn run(&self, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        self.check_open()?;
        let reply = self.client.run(script, key, args).await?;
        if reply.status() == "LOST" { Err(session_lost()) } else { Ok(reply) }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(session_lost()) } else { Ok(()) }
    }

    /// Whether the server cannot have dropped the session yet.
    pub(crate) fn is_surely_alive(&self) -> bool {
        Instant::now() < *self.alive_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn end(&self) -> Result<()> {
        let entries = async {
            while self.client.run(&CLOSE, &self.key, &[self.id.as_bytes()]).await?.status() == "MORE" {}
            Ok(())
        };
        let limit = self.client.timeout();
        let limited = tokio::time::timeout(limit, entries).await;
        limited.unwrap_or_else(|_| Err(self.client.silence(limit)))
    }
}

impl Drop for RedisSession {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Session for RedisSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    async fn renew(&self) -> Result<()> {
        self.check_open()?;
        let until = Instant::now() + self.ttl;
        if !self.client.prolong(&self.key, self.ttl).await? {
            return Err(session_lost());
        }
        let mut alive_until = self.alive_until.lock().unwrap_or_else(PoisonError::into_inner);
        *alive_until = until.max(*alive_until);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.feed.end();
        let ended = self.end().await;
        self.tasks.iter().for_each(JoinHandle::abort);
        ended
    }

    async fn lost(&self) -> Loss {
        match self.losses.lock().await.recv().await {
            Some(loss) => loss,
            None => std::future::pending().await,
        }
    }

    async fn enter(&self, roster: &Roster, entry: NewEntry<'_>) -> Result<Standing> {
        self.enter_roster(roster, entry).await
    }

    async fn leave(&self, roster: &Roster, ticket: &Ticket) -> Result<bool> {
        self.leave_roster(roster, ticket).await
    }

    async fn withdraw(&self, roster: &Roster, nonce: Nonce) -> Result<()> {
        self.withdraw_from(roster, nonce).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.replace_in(roster, ticket, value).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.evict_from(roster, seq).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.watch_roster(roster, newer_than).await
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.await_turn_in(roster, ticket).await
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

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}
