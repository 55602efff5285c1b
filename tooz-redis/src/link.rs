//! One connection that fred keeps up: how it is made, why it is not there, and how it is made anew.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::clients::Client as Fred;
use fred::error::{Error as FredError, ErrorKind as FredKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::socket2::TcpKeepalive;
use fred::types::config::{
    ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, ServerConfig, TcpConfig, UnresponsiveConfig,
};
use fred::types::{ConnectHandle, RespVersion};
use tokio::sync::broadcast;
use tooz_core::Result;

use crate::config::{Config, Login, Topology};
use crate::tls;

/// How many notifications may wait to be looked at; more of them are reported as lost.
pub(crate) const BACKLOG: usize = 256;
/// The same of what fred tells about a connection. It keeps eight such queues for each, with their room.
pub(crate) const FEW: usize = 8;
/// Milliseconds between attempts to connect again.
const RECONNECT_PAUSE: u32 = 100;

/// A connection that fred keeps up, closed on drop.
pub(crate) struct Link {
    pub(crate) fred: Fred,
    task: Mutex<ConnectHandle>,
    troubles: Mutex<Troubles>,
}

/// Why connections were lost or could not be made: what fred has told since we looked, and the newest before.
struct Troubles {
    receiver: broadcast::Receiver<(FredError, Option<Server>)>,
    newest: Option<FredError>,
}

impl Link {
    /// Connects, or tells why it cannot. Of what is told unasked, `backlog` may wait to be looked at.
    pub(crate) async fn open(settings: &Settings, backlog: usize) -> Result<Self, FredError> {
        let Settings { config, performance, connection } = settings;
        let performance = PerformanceConfig { broadcast_channel_capacity: backlog, ..performance.clone() };
        // Without an end: a policy that is used up would leave a client that hangs for ever.
        let policy = ReconnectPolicy::new_constant(0, RECONNECT_PAUSE);
        let fred = Fred::new(config.clone(), Some(performance), Some(connection.clone()), Some(policy));
        let troubles = Mutex::new(Troubles { receiver: fred.error_rx(), newest: None });
        let link = Self { task: Mutex::new(fred.connect()), fred, troubles };
        link.first_connection().await?;
        Ok(link)
    }

    /// fred tells of a failure only those who listen already, so its task is watched as well.
    async fn first_connection(&self) -> Result<(), FredError> {
        let ended = async {
            while !self.with_task(|task| task.is_finished()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            connected = self.fred.wait_for_connect() => connected,
            () = ended => self.outcome().await,
        }
    }

    /// Why a request failed that had no connection.
    pub(crate) fn reason(&self, error: &FredError) -> Option<FredError> {
        match error.kind() {
            FredKind::Timeout => self.trouble(),
            // fred says so of what was not sent before the connection was made anew.
            _ if error.details().starts_with("Too many failed write attempts") => self.newest_trouble(),
            _ => None,
        }
    }

    /// Why there is no connection, unless there is one.
    pub(crate) fn trouble(&self) -> Option<FredError> {
        self.newest_trouble().filter(|_| !self.fred.is_connected())
    }

    fn newest_trouble(&self) -> Option<FredError> {
        let mut troubles = self.troubles();
        loop {
            match troubles.receiver.try_recv() {
                Ok((trouble, _)) => troubles.newest = Some(trouble),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        troubles.newest.clone()
    }

    fn outcome(&self) -> impl Future<Output = Result<(), FredError>> + Send {
        let idle = tokio::spawn(async { Ok(()) });
        let task = self.with_task(|task| std::mem::replace(task, idle));
        async move { task.await? }
    }

    /// Starts it again if it has given up.
    pub(crate) fn revive(&self) {
        self.with_task(|task| {
            if task.is_finished() {
                *task = self.fred.connect();
            }
        });
    }

    /// Leaves a server that is the wrong one, as it said in `reason`.
    pub(crate) fn leave(&self, reason: &FredError) {
        self.newest_trouble();
        self.troubles().newest = Some(reason.clone());
        self.move_on();
    }

    /// Makes the connection anew.
    pub(crate) fn move_on(&self) {
        let fred = self.fred.clone();
        tokio::spawn(async move { fred.force_reconnection().await });
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_task<T>(&self, use_it: impl FnOnce(&mut ConnectHandle) -> T) -> T {
        use_it(&mut self.task.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("id", &self.fred.id()).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.with_task(|task| task.abort());
    }
}

/// How each connection of a session is made.
pub(crate) struct Settings {
    config: fred::types::config::Config,
    performance: PerformanceConfig,
    connection: ConnectionConfig,
}

impl Settings {
    pub(crate) fn new(config: &Config, timeout: Duration) -> Result<Self> {
        let Login { username, password } = &config.login;
        let fred = fred::types::config::Config {
            fail_fast: true,
            username: username.clone(),
            password: password.clone(),
            server: server(&config.topology, &config.sentinel_login),
            version: RespVersion::RESP3,
            database: config.database,
            tls: config.tls.as_ref().map(tls::connector).transpose()?,
            ..Default::default()
        };
        let performance = PerformanceConfig { default_command_timeout: timeout, ..Default::default() };
        let keepalive = config.keepalive.then(|| TcpKeepalive::new().with_time(Duration::from_secs(15)));
        let connection = ConnectionConfig {
            connection_timeout: config.connect_timeout.map_or(timeout, |own| own.min(timeout)),
            internal_command_timeout: timeout,
            // A repeated command may run twice; whoever called decides.
            max_command_attempts: 1,
            unresponsive: UnresponsiveConfig { max_timeout: Some(timeout), interval: timeout / 4 },
            tcp: TcpConfig { nodelay: Some(true), keepalive, ..Default::default() },
            ..Default::default()
        };
        Ok(Self { config: fred, performance, connection })
    }
}

fn server(topology: &Topology, sentinel_login: &Login) -> ServerConfig {
    match topology {
        Topology::Single(host, port) => ServerConfig::new_centralized(host.clone(), *port),
        Topology::Unix(path) => ServerConfig::new_unix_socket(path),
        Topology::Cluster(hosts) => ServerConfig::new_clustered(hosts.clone()),
        Topology::Sentinel { hosts, service } => ServerConfig::Sentinel {
            hosts: hosts.iter().map(|(host, port)| Server::new(host.as_str(), *port)).collect(),
            service_name: service.clone(),
            username: sentinel_login.username.clone(),
            password: sentinel_login.password.clone(),
        },
    }
}
