//! One session: how it begins, is kept alive and ends. The verbs are in `roster/` and `topics.rs`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tooz_core::driver::support::{Tombstones, no_answer, session_closed};
use tooz_core::driver::{
    Follow, History, Kind, Loss, NewEntry, NewName, Nonce, Roster, Seq, Session, SessionOptions, Snapshot, Standing,
    Ticket, Topics, Version,
};
use tooz_core::{Name, Result};

use crate::client::{Connections, Param, Reply};
use crate::config::Config;
use crate::inbox::Inbox;
use crate::layout::watched;
use crate::roster::PostgresFollower;

const OPEN: &str = "SELECT * FROM open_session($1, $2, $3, $4)";
const RENEW: &str = "SELECT renew($1)";
const CLOSE: &str = "SELECT close_session($1)";
const REAP: &str = "SELECT * FROM reap($1)";
const REAP_ANY: &str = "SELECT reap_any()";
const WATCH_NEIGHBOUR: &str = "SELECT watch_neighbour($1, $2)";
const BEGIN_WATCH: &str = "SELECT begin_watch($1, $2, $3)";
const END_WATCH: &str = "SELECT end_watch($1, $2, $3)";

/// How many dead sessions of any namespace a new session removes at most.
const CLEANED_ON_OPEN: usize = 100;
/// How many withdrawn nonces a session remembers; see `client/connections.rs` on why no request arrives later.
const TOMBSTONES: usize = 4096;

/// A session: a row on the server that is prolonged by renewals.
#[derive(Debug)]
pub(crate) struct PostgresSession {
    pub(crate) core: Arc<SessionCore>,
    pub(crate) history: Arc<History>,
    history_number: u64,
    server: String,
    pub(crate) tombstones: std::sync::Mutex<Tombstones>,
    losses: tokio::sync::Mutex<mpsc::UnboundedReceiver<Loss>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the maintenance of a session shares with its verbs.
#[derive(Debug)]
pub(crate) struct SessionCore {
    pub(crate) connections: Connections,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) id: i64,
    namespace: Vec<u8>,
    ttl: Duration,
    closed: AtomicBool,
    /// The rosters and topics of which the server notifies this session, each with the connection by which it was asked to:
    /// the server may have been restored in between.
    watches: tokio::sync::Mutex<HashMap<(&'static str, Name), u64>>,
}

impl PostgresSession {
    pub(crate) async fn open(config: &Config, options: &SessionOptions, history: Arc<History>) -> Result<Self> {
        let (sender, losses) = mpsc::unbounded_channel();
        let inbox = Arc::new(Inbox::new(sender));
        let mut config = config.clone();
        if config.server.get_application_name().is_none() {
            config.server.application_name(format!("tooz {}", options.member).chars().take(60).collect::<String>());
        }
        let connections = Connections::new(config.clone(), options.timeout, inbox.clone());
        let (namespace, member) = (options.namespace.as_bytes().to_vec(), options.member.as_bytes());
        let greatest = history.greatest();
        let params: [Param<'_>; 4] = [&namespace, &member, &options.ttl.as_secs_f64(), &config.by_connection];
        let reply = connections.query(OPEN, &params).await?;
        let id = reply.get(0, "sid")?;
        let server = format!("{} at {}", reply.get::<String>(0, "server")?, config.address);
        let last = reply.number(0, "last_number")?.unwrap_or_default();
        let history_number = history.opened(reply.get(0, "history")?, last, greatest);
        connections.continue_session(id, history.clone(), history_number);
        let (closed, watches) = <_>::default();
        let core = Arc::new(SessionCore { connections, inbox, id, namespace, ttl: options.ttl, closed, watches });
        let mut tasks = vec![tokio::spawn(core.clone().maintain())];
        if config.by_connection {
            let inbox = Arc::new(Inbox::new(mpsc::unbounded_channel().0));
            let second = Connections::new(config, options.ttl.max(options.timeout), inbox);
            tasks.push(tokio::spawn(core.clone().watch_neighbour(second)));
        }
        let (tombstones, losses) = (Tombstones::new(TOMBSTONES).into(), losses.into());
        Ok(Self { core, history, history_number, server, tombstones, losses, tasks })
    }
}

impl SessionCore {
    /// Calls a function of the schema whose first parameter is this session. If it meets sessions that are over, they are
    /// removed, and it is called again.
    pub(crate) async fn call(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Reply> {
        let params = [&[&self.id as Param<'_>], params].concat();
        let limit = self.connections.timeout();
        let repeated = timeout(limit, async {
            loop {
                self.check_open()?;
                let reply = self.connections.query(sql, &params).await?;
                if reply.status() != "EXPIRED" {
                    return Ok(reply);
                }
                self.reap().await?;
            }
        });
        repeated.await.unwrap_or_else(|_| Err(no_answer("PostgreSQL", limit)))
    }

    /// The same for a function whose next parameters are the kind and the name of a roster.
    pub(crate) async fn call_on(&self, sql: &'static str, roster: &Roster, params: &[Param<'_>]) -> Result<Reply> {
        let (kind, name) = (roster.kind.as_str(), roster.name.as_bytes());
        self.call(sql, &[&[&kind as Param<'_>, &name], params].concat()).await
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(session_closed()) } else { Ok(()) }
    }

    /// Has the server notify the session of changes. The receiver gets each change that is committed after this returns, and
    /// perhaps some that were committed earlier.
    pub(crate) async fn watch(&self, kind: &'static str, name: &Name) -> Result<broadcast::Receiver<Arc<str>>> {
        let receiver = self.inbox.subscribe(&watched(kind, name));
        let mut watches = self.watches.lock().await;
        let connection = self.inbox.connections.load(Ordering::SeqCst);
        let key = (kind, name.clone());
        if watches.get(&key) != Some(&connection) {
            self.call(BEGIN_WATCH, &[&kind, &name.as_bytes()]).await?.is_done()?;
            watches.insert(key, connection);
        }
        Ok(receiver)
    }

    /// Has the server no longer notify the session of what none of its watchers waits for.
    async fn end_unused_watches(&self) {
        let known: Vec<_> = self.watches.lock().await.keys().cloned().collect();
        for (kind, name) in known {
            let mut watches = self.watches.lock().await;
            if !self.inbox.is_watched(&watched(kind, &name)) {
                // A watch that goes on by mistake costs notifications.
                self.call(END_WATCH, &[&kind, &name.as_bytes()]).await.ok();
                watches.remove(&(kind, name));
            }
        }
    }

    /// Removes the sessions of the namespace that are over. Returns the seconds until the next one may be.
    async fn reap(&self) -> Result<Option<f64>> {
        loop {
            let reply = self.connections.query(REAP, &[&self.namespace]).await?;
            if reply.status() != "MORE" {
                return reply.get(0, "rest");
            }
        }
    }

    /// Notices the end of another session's connection while a second connection waits for it, and ends that session.
    ///
    /// The wait is renewed from time to time, because a new session may have to be watched instead.
    async fn watch_neighbour(self: Arc<Self>, second: Connections) {
        let patience = (self.ttl / 3).as_millis().max(1).to_string();
        loop {
            let waited = second.query(WATCH_NEIGHBOUR, &[&self.id, &patience]).await;
            if !waited.is_ok_and(|reply| ["DONE", "MORE"].contains(&reply.status())) {
                sleep(self.ttl / 10).await;
            }
        }
    }

    /// Removes what crashed clients have left in any namespace; then keeps the connection up, ends unused watches, and removes sessions that are over while anything is waited for.
    async fn maintain(self: Arc<Self>) {
        for _ in 0..CLEANED_ON_OPEN {
            match self.connections.query(REAP_ANY, &[]).await {
                Ok(reply) if reply.status() == "MORE" => {}
                _ => break,
            }
        }
        while !self.inbox.has_ended() {
            let is_due = self.inbox.maintenance_is_due().await;
            if self.connections.restore().await.is_err() {
                // Clients that were disconnected at the same time come back at different times.
                sleep(Duration::from_millis(100 + self.id.unsigned_abs() % 100)).await;
                self.inbox.call_maintenance();
                continue;
            }
            if is_due {
                self.end_unused_watches().await;
                if self.inbox.is_in_use() {
                    // A failure shows when the connection is looked at again.
                    self.reap().await.into_iter().for_each(|rest| self.inbox.expect_expiry(rest));
                }
            }
        }
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Session for PostgresSession {
    fn ttl(&self) -> Option<Duration> {
        Some(self.core.ttl)
    }

    fn history(&self) -> u64 {
        self.history_number
    }

    async fn renew(&self) -> Result<()> {
        self.core.call(RENEW, &[]).await?.is_done().map(drop)
    }

    async fn close(&self) -> Result<()> {
        if self.core.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        self.core.inbox.interrupt();
        let limit = self.core.connections.timeout();
        let ending = async {
            while self.core.connections.query(CLOSE, &[&self.core.id]).await?.status() == "MORE" {}
            Ok(())
        };
        let ended = timeout(limit, ending).await.unwrap_or_else(|_| Err(no_answer("PostgreSQL", limit)));
        self.core.connections.close();
        match ended {
            Err(error) if error.is_session_lost() => Ok(()),
            ended => ended,
        }
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
        Box::new(PostgresFollower::new(self, roster))
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
        self.read_names(kind.as_str(), after, limit).await
    }

    async fn watch_names(&self, added: &(dyn Fn(NewName) + Send + Sync)) -> Result<Infallible> {
        self.watch_new_names(added).await
    }

    fn server(&self) -> Option<String> {
        Some(self.server.clone())
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}
