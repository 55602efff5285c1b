//! One session: how it begins, is kept alive and ends. The verbs are in `roster/` and `topics.rs`.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tooz_core::driver::support::{lock, session_closed, session_lost};
use tooz_core::driver::{
    Follow, Kind, Loss, NewEntry, NewName, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing, Ticket,
    Topics, Version,
};
use tooz_core::time::Moment;
use tooz_core::{Name, Result};

use crate::client::{CLOSE, Connections, OPEN, Reply, Script};
use crate::config::Config;
use crate::error::timed_out;
use crate::history::{History, Opened, Opening};
use crate::layout::Layout;
use crate::roster::RedisFollower;
use crate::session_state::SessionState;
use crate::shared_client::SharedClient;

/// A session: a key on the server that lives as long as it is renewed.
#[derive(Debug)]
pub(crate) struct RedisSession {
    pub(crate) client: Arc<SharedClient>,
    pub(crate) state: Arc<SessionState>,
    pub(crate) layout: Layout,
    ttl: Duration,
    /// Until when the session lives at least, on the client's clock: counted from the send of the last renewal.
    alive_until: Mutex<Moment>,
    closed: AtomicBool,
    losses: tokio::sync::Mutex<mpsc::UnboundedReceiver<Loss>>,
}

impl RedisSession {
    pub(crate) async fn open(config: &Arc<Config>, options: &SessionOptions, history: Arc<History>) -> Result<Self> {
        let limited = timeout(options.timeout, Self::try_open(config, options, history)).await;
        limited.unwrap_or_else(|_| Err(timed_out(options.timeout, &config.address)))
    }

    async fn try_open(config: &Arc<Config>, options: &SessionOptions, history: Arc<History>) -> Result<Self> {
        let client = SharedClient::get(config, options).await?;
        let (layout, id) = (Layout::new(&options.namespace), client.new_session_id());
        let key = layout.session(&id);
        // The server counts in milliseconds.
        let ttl = Duration::from_millis(u64::try_from(options.ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        let alive_until = Mutex::new(Moment::now() + ttl);
        let history_number = begin(&client.connections, &key, &id, ttl, &options.member, &history).await?;
        let (sender, losses) = mpsc::unbounded_channel();
        let state = Arc::new(SessionState::new(id, key, history, history_number, sender));
        client.subscriptions.add(state.clone());
        let (closed, losses) = (AtomicBool::new(false), losses.into());
        Ok(Self { client, state, layout, ttl, alive_until, closed, losses })
    }

    /// Runs a script on one key, unless the session is closed. The session's key comes first among the arguments.
    pub(crate) async fn run(&self, script: &'static Script, key: &str, args: &[&[u8]]) -> Result<Reply> {
        self.state.check()?;
        let args = [&[self.state.key.as_bytes()], args].concat();
        let reply = self.client.connections.run(script, key, &args).await?;
        if reply.status() == "LOST" { Err(session_lost()) } else { Ok(reply) }
    }

    /// Whether the server cannot have ended the session yet.
    pub(crate) fn is_certainly_alive(&self) -> bool {
        !lock(&self.alive_until).has_passed()
    }
}

/// Writes the session's key, which also shows that the user may run all commands. Returns the number of the history.
async fn begin(
    connections: &Connections,
    key: &str,
    id: &str,
    ttl: Duration,
    member: &Name,
    history: &History,
) -> Result<u64> {
    let (ttl, greatest) = (ttl.as_millis().to_string(), history.greatest());
    let (name, seen) = (Nonce::random().to_string(), greatest.to_string());
    let earlier = history.latest_opening().map(|earlier| (earlier.number.to_string(), earlier.session));
    let mut args = vec![id.as_bytes(), ttl.as_bytes(), member.as_bytes(), name.as_bytes(), seen.as_bytes()];
    args.extend(earlier.iter().flat_map(|(number, session)| [number.as_bytes(), session.as_bytes()]));
    let mut reply = connections.run(&OPEN, key, &args).await?;
    let name = String::from_utf8_lossy(&reply.bytes().unwrap_or_default()).into_owned();
    let (last, number, knows_earlier) = (reply.natural()?, reply.natural()?, reply.natural()? == 1);
    let opening = Opening { number, session: id.to_owned() };
    Ok(history.opened(Opened { name, last, opening, knows_earlier }, greatest))
}

impl Drop for RedisSession {
    fn drop(&mut self) {
        self.client.subscriptions.remove(&self.state);
        self.state.end(session_closed());
    }
}

#[async_trait]
impl Session for RedisSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    fn history(&self) -> u64 {
        self.state.history_number
    }

    async fn renew(&self) -> Result<()> {
        self.state.check()?;
        let until = Moment::now() + self.ttl;
        if !self.client.connections.prolong(&self.state.key, self.ttl).await? {
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
        self.state.end(session_closed());
        self.client.subscriptions.remove(&self.state);
        let connections = &self.client.connections;
        let limit = connections.timeout();
        let ended = timeout(limit, connections.run(&CLOSE, &self.state.key, &[self.state.id.as_bytes()])).await;
        ended.unwrap_or_else(|_| Err(connections.timeout_error(limit))).map(drop)
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
        self.state.until_end(self.read_roster(roster, newer_than)).await
    }

    fn follow<'a>(&'a self, roster: &'a Roster) -> Box<dyn Follow + 'a> {
        Box::new(RedisFollower::new(self, roster))
    }

    async fn await_turn(&self, roster: &Roster, ticket: &Ticket) -> Result<()> {
        self.state.until_end(self.wait_for_admission(roster, ticket)).await
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
