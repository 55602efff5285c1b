//! One session: how it begins, is kept alive and ends. The verbs are in `roster/` and `topics.rs`.
//!
//! - A session has a key in the first shard, and in each further shard as soon as it uses one.
//! - A renewal prolongs all of its keys. If one is gone, the session has ended in that shard, and so it ends in all of them.
//! - When a shard is first used, all keys are prolonged after the new one was written: so a session that is over opens no
//!   further shard, and its keys expire at about the same time.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::timeout;
use tooz_core::driver::support::{lock, session_closed, session_lost};
use tooz_core::driver::{
    Follow, Kind, Loss, NewEntry, NewName, Nonce, OwnEntries, Roster, Seq, Session, SessionOptions, Snapshot, Standing,
    Ticket, Topics, Version,
};
use tooz_core::time::Moment;
use tooz_core::{Name, Result};

use crate::client::{CLOSE, OPEN, Reply, Script};
use crate::config::Config;
use crate::error::{history_changed, other_shards, timed_out};
use crate::history::{History, Opened, Opening};
use crate::layout::{Layout, ShardKey};
use crate::roster::RedisFollower;
use crate::shard_session::{SessionEnd, ShardSession};
use crate::shared_client::SharedClient;

/// A session, which is open in the shards that it has used.
#[derive(Debug)]
pub(crate) struct RedisSession {
    pub(crate) client: Arc<SharedClient>,
    pub(crate) end: Arc<SessionEnd>,
    shards: Vec<OnceCell<Arc<ShardSession>>>,
    /// Of the shards, and the numbers that they had when the session began.
    histories: Vec<(Arc<History>, u64)>,
    member: Name,
    ttl: Duration,
    /// Until when the session lives at least, on the client's clock: counted from the send of the last renewal.
    alive_until: Mutex<Moment>,
    closed: AtomicBool,
    losses: tokio::sync::Mutex<mpsc::UnboundedReceiver<Loss>>,
}

impl RedisSession {
    pub(crate) async fn open(
        config: &Arc<Config>,
        options: &SessionOptions,
        histories: Vec<Arc<History>>,
    ) -> Result<Self> {
        let limited = timeout(options.timeout, Self::try_open(config, options, histories)).await;
        limited.unwrap_or_else(|_| Err(timed_out(options.timeout, &config.address)))
    }

    async fn try_open(config: &Arc<Config>, options: &SessionOptions, histories: Vec<Arc<History>>) -> Result<Self> {
        let client = SharedClient::get(config, options).await?;
        let (sender, losses) = mpsc::unbounded_channel();
        // The server counts in milliseconds.
        let ttl = Duration::from_millis(u64::try_from(options.ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut session = Self {
            client,
            end: Arc::new(SessionEnd::new(sender)),
            shards: histories.iter().map(|_| OnceCell::new()).collect(),
            histories: histories.into_iter().map(|history| (history.clone(), history.number())).collect(),
            member: options.member.clone(),
            ttl,
            alive_until: Mutex::new(Moment::now() + ttl),
            closed: AtomicBool::new(false),
            losses: losses.into(),
        };
        let first = session.open_shard(0).await?;
        session.histories[0].1 = first.history_number;
        session.client.subscriptions.add(first.clone());
        session.shards[0] = OnceCell::new_with(Some(first));
        Ok(session)
    }

    /// The session in a shard, where it is opened at the first use.
    pub(crate) async fn shard(&self, shard: usize) -> Result<&Arc<ShardSession>> {
        self.end.check()?;
        let opened = self.shards[shard].get_or_try_init(|| self.open_further_shard(shard)).await?;
        // `close` may have passed over a shard that was being opened.
        if self.closed.load(Ordering::SeqCst) {
            self.close_shards([opened]).await?;
            return Err(session_closed());
        }
        Ok(opened)
    }

    /// Ends the session in these shards.
    async fn close_shards(&self, shards: impl IntoIterator<Item = &Arc<ShardSession>>) -> Result<()> {
        self.forget();
        let connections = &self.client.connections;
        let limit = connections.timeout();
        let closing = shards
            .into_iter()
            .map(|shard| async move { connections.run(&CLOSE, &shard.key, &[shard.id.as_bytes()]).await });
        let closed = timeout(limit, try_join_all(closing)).await;
        closed.unwrap_or_else(|_| Err(connections.timeout_error(limit))).map(drop)
    }

    async fn open_further_shard(&self, shard: usize) -> Result<Arc<ShardSession>> {
        let opened = self.open_shard(shard).await?;
        if opened.history_number != self.histories[shard].1 {
            self.end.end(history_changed());
            return Err(history_changed());
        }
        self.renew().await?;
        self.client.subscriptions.add(opened.clone());
        Ok(opened)
    }

    /// Writes the session's key in a shard, which also shows that the user may run all commands.
    async fn open_shard(&self, shard: usize) -> Result<Arc<ShardSession>> {
        let (id, history) = (self.client.new_session_id(), self.histories[shard].0.clone());
        let (key, greatest) = (self.layout().session(shard, &id), history.greatest());
        let (ttl, shards) = (self.ttl.as_millis().to_string(), self.shards.len().to_string());
        let (name, seen) = (Nonce::random().to_string(), greatest.to_string());
        let earlier = history.latest_opening().map(|earlier| (earlier.number.to_string(), earlier.session));
        let mut args = vec![id.as_bytes(), ttl.as_bytes(), self.member.as_bytes(), name.as_bytes()];
        args.extend([seen.as_bytes(), shards.as_bytes()]);
        args.extend(earlier.iter().flat_map(|(number, session)| [number.as_bytes(), session.as_bytes()]));
        let mut reply = self.client.connections.run(&OPEN, &key, &args).await?;
        if reply.status() == "SHARDS" {
            return Err(other_shards(reply.natural()?, self.shards.len()));
        }
        let name = String::from_utf8_lossy(&reply.bytes().unwrap_or_default()).into_owned();
        let (last, number, knows_earlier) = (reply.natural()?, reply.natural()?, reply.natural()? == 1);
        let opening = Opening { number, session: id.clone() };
        let history_number = history.opened(Opened { name, last, opening, knows_earlier }, greatest);
        let (entries, end) = (OwnEntries::default(), self.end.clone());
        Ok(Arc::new(ShardSession { shard, id, key, entries, history, history_number, end }))
    }

    /// The shards in which the session is open.
    fn open_shards(&self) -> impl Iterator<Item = &Arc<ShardSession>> {
        self.shards.iter().filter_map(OnceCell::get)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.client.layout
    }

    /// Runs a script on one key, unless the session has ended. The session's key comes first among the arguments.
    pub(crate) async fn run(&self, script: &'static Script, key: &ShardKey, args: &[&[u8]]) -> Result<Reply> {
        let own = self.shard(key.shard).await?;
        let args = [&[own.key.as_bytes()], args].concat();
        let reply = self.client.connections.run(script, &key.name, &args).await?;
        if reply.status() == "LOST" { Err(session_lost()) } else { Ok(reply) }
    }

    /// Whether the server cannot have ended the session yet.
    pub(crate) fn is_certainly_alive(&self) -> bool {
        !lock(&self.alive_until).has_passed()
    }

    /// Ends the session for its client.
    fn forget(&self) {
        self.open_shards().for_each(|shard| self.client.subscriptions.remove(shard));
        self.end.end(session_closed());
    }
}

impl Drop for RedisSession {
    fn drop(&mut self) {
        self.forget();
    }
}

#[async_trait]
impl Session for RedisSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    fn history(&self) -> u64 {
        self.histories.iter().map(|(_, number)| number).sum()
    }

    async fn renew(&self) -> Result<()> {
        self.end.check()?;
        let until = Moment::now() + self.ttl;
        let connections = &self.client.connections;
        let prolonged = self.open_shards().map(|shard| connections.prolong(&shard.key, self.ttl));
        if try_join_all(prolonged).await?.contains(&false) {
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
        self.close_shards(self.open_shards()).await
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
        self.end.until_end(self.read_roster(roster, newer_than)).await
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(RedisFollower::new(self, roster))
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.end.until_end(self.wait_for_admission(roster, ticket)).await
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
        self.read_names(kind.as_str(), after, limit).await
    }

    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        self.watch_new_names(added).await
    }

    fn server(&self) -> Option<String> {
        Some(self.client.connections.server())
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}
