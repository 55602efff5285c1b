//! One session: how it begins, is kept alive and ends. The verbs are in `roster/` and `topics.rs`.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tooz_core::driver::support::{lock, session_closed, session_lost};
use tooz_core::driver::{
    Follow, Kind, Loss, NewEntry, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket, Topics,
    Version,
};
use tooz_core::time::Moment;
use tooz_core::{Name, Result};

use crate::client::{CLOSE, Connections, OPEN, Reply, Script};
use crate::config::Config;
use crate::error::timed_out;
use crate::history::{History, Opened, Opening};
use crate::layout::{Layout, escape};
use crate::notify::Subscriptions;
use crate::roster::RedisFollower;

/// A session: a key on the server that lives as long as it is renewed.
#[derive(Debug)]
pub(crate) struct RedisSession {
    pub(crate) connections: Arc<Connections>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) layout: Layout,
    /// Random, so that a session is never taken for an earlier one of the same member.
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) history: Arc<History>,
    history_number: u64,
    ttl: Duration,
    /// Until when the session lives at least, on the client's clock: counted from the send of the last renewal.
    alive_until: Mutex<Moment>,
    closed: AtomicBool,
    losses: tokio::sync::Mutex<mpsc::UnboundedReceiver<Loss>>,
    tasks: Vec<JoinHandle<()>>,
}

impl RedisSession {
    pub(crate) async fn open(config: &Config, options: &SessionOptions, history: Arc<History>) -> Result<Self> {
        let limited = timeout(options.timeout, Self::try_open(config, options, history)).await;
        limited.unwrap_or_else(|_| Err(timed_out(options.timeout, &config.address)))
    }

    async fn try_open(config: &Config, options: &SessionOptions, history: Arc<History>) -> Result<Self> {
        let connections = Arc::new(Connections::open(config, options.timeout).await?);
        let (layout, id) = (Layout::new(&options.namespace), Nonce::random().to_string());
        let key = layout.session(&id);
        let (sender, losses) = mpsc::unbounded_channel();
        let interval = config.health_check_interval.unwrap_or(options.timeout / 2).min(Duration::from_secs(2));
        let subscriptions =
            Arc::new(Subscriptions::new(connections.clone(), history.clone(), key.clone(), interval, sender));
        // The server counts in milliseconds.
        let ttl = Duration::from_millis(u64::try_from(options.ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut session = Self {
            connections,
            layout,
            id,
            key,
            history,
            history_number: 0,
            ttl,
            alive_until: Mutex::new(Moment::now() + ttl),
            closed: AtomicBool::new(false),
            losses: losses.into(),
            tasks: [tokio::spawn(subscriptions.clone().receive()), tokio::spawn(subscriptions.clone().maintain())]
                .into(),
            subscriptions,
        };
        session.begin(&options.member).await?;
        Ok(session)
    }

    /// Writes the session's key, which also shows that the user may run all commands; then that notifications arrive.
    async fn begin(&mut self, member: &Name) -> Result<()> {
        let (ttl, greatest) = (self.ttl.as_millis().to_string(), self.history.greatest());
        let (history, seen) = (Nonce::random().to_string(), greatest.to_string());
        let earlier = self.history.latest_opening().map(|earlier| (earlier.number.to_string(), earlier.session));
        let mut args = vec![self.id.as_bytes(), ttl.as_bytes(), member.as_bytes(), history.as_bytes(), seen.as_bytes()];
        args.extend(earlier.iter().flat_map(|(number, session)| [number.as_bytes(), session.as_bytes()]));
        let mut reply = self.connections.run(&OPEN, &self.key, &args).await?;
        let name = String::from_utf8_lossy(&reply.bytes().unwrap_or_default()).into_owned();
        let (last, number, knows_earlier) = (reply.natural()?, reply.natural()?, reply.natural()? == 1);
        let opening = Opening { number, session: self.id.clone() };
        self.history_number = self.history.opened(Opened { name, last, opening, knows_earlier }, greatest);
        self.subscriptions.start(self.history_number).await?;
        self.connections.set_client_name(&format!("tooz:{}", escape(member.as_bytes()))).await;
        match self.connections.eviction_policy().await {
            Some(policy) if policy != "noeviction" => {
                tracing::warn!(policy, "the server may evict locks when its memory is full; set noeviction");
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs a script on one key, unless the session is closed. The session's key comes first among the arguments.
    pub(crate) async fn run(&self, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        self.check_open()?;
        let reply = self.connections.run(script, key, &[&[self.key.as_bytes()], args].concat()).await?;
        if reply.status() == "LOST" { Err(session_lost()) } else { Ok(reply) }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(session_closed()) } else { Ok(()) }
    }

    /// Whether the server cannot have ended the session yet.
    pub(crate) fn is_certainly_alive(&self) -> bool {
        !lock(&self.alive_until).has_passed()
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

    fn history(&self) -> u64 {
        self.history_number
    }

    async fn renew(&self) -> Result<()> {
        self.check_open()?;
        let until = Moment::now() + self.ttl;
        if !self.connections.prolong(&self.key, self.ttl).await? {
            return Err(session_lost());
        }
        let mut alive_until = lock(&self.alive_until);
        if until.saturating_duration_since(*alive_until) > Duration::ZERO {
            *alive_until = until;
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.subscriptions.close();
        let limit = self.connections.timeout();
        let ended = timeout(limit, self.connections.run(&CLOSE, &self.key, &[self.id.as_bytes()])).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        ended.unwrap_or_else(|_| Err(self.connections.timeout_error(limit))).map(drop)
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
        self.withdraw_entry(roster, nonce).await
    }

    async fn replace(&self, roster: &Roster, ticket: &Ticket, value: &[u8]) -> Result<()> {
        self.replace_value(roster, ticket, value).await
    }

    async fn evict(&self, roster: &Roster, seq: Seq) -> Result<bool> {
        self.evict_entry(roster, seq).await
    }

    async fn snapshot(&self, roster: &Roster, newer_than: Option<Version>) -> Result<Snapshot> {
        self.read_roster(roster, newer_than).await
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(RedisFollower::new(self, roster))
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.wait_for_admission(roster, ticket).await
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

    async fn watch_names(&self, changed: &(dyn Fn() + Send + Sync)) -> Result<Infallible> {
        self.watch_new_names(changed).await
    }

    fn server(&self) -> Option<String> {
        Some(self.connections.server())
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}
