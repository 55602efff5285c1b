//! The connection of one session, which is made again when it breaks.
//!
//! A server's process carries out the requests of one connection in their order. So a request that the client has given up
//! comes before all that follow, unless it was sent on an earlier connection: the session's row names the process that
//! serves the present one, and the verbs refuse all others. Tombstones on the server are not needed.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::time::timeout;
use tooz_core::Result;
use tooz_core::driver::History;
use tooz_core::driver::support::{lock, session_lost};

use super::connection::Connection;
use super::reply::{Param, Reply};
use crate::config::Config;
use crate::error::{from_native, history_changed, is_read_only, timed_out};
use crate::inbox::Inbox;
use crate::layout::nonce_of;

const ATTACH: &str = "SELECT * FROM attach($1)";

/// What a session needs to continue on another connection.
struct Attachment {
    session: i64,
    history: Arc<History>,
    history_number: u64,
}

/// The connection of one session.
pub(crate) struct Connections {
    config: Config,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    inbox: Arc<Inbox>,
    attachment: OnceLock<Attachment>,
    current: Mutex<Option<Arc<Connection>>>,
    connecting: tokio::sync::Mutex<()>,
}

impl Connections {
    /// No connection is made yet.
    pub(crate) fn new(config: Config, timeout: Duration, inbox: Arc<Inbox>) -> Self {
        let (attachment, current, connecting) = <_>::default();
        Self { config, timeout, inbox, attachment, current, connecting }
    }

    /// Sets the session that every further connection continues.
    pub(crate) fn continue_session(&self, session: i64, history: Arc<History>, history_number: u64) {
        self.attachment.get_or_init(|| Attachment { session, history, history_number });
    }

    /// Runs one statement within the timeout.
    pub(crate) async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Reply> {
        let mut used = None;
        let attempt = async {
            let connection = used.insert(self.connection().await?);
            connection.query(sql, params).await.map(Reply).map_err(|error| {
                if is_read_only(&error) {
                    // Another host may take writes now.
                    connection.close();
                }
                from_native(error, &self.config.address)
            })
        };
        match timeout(self.timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // Whatever this connection carries may be stuck, so the next request uses another one.
                used.inspect(|connection| connection.close());
                Err(timed_out(self.timeout, &self.config.address))
            }
        }
    }

    /// Makes the connection again if it has broken.
    pub(crate) async fn restore(&self) -> Result<()> {
        let restored = timeout(self.timeout, self.connection()).await;
        restored.unwrap_or_else(|_| Err(timed_out(self.timeout, &self.config.address))).map(drop)
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        lock(&self.current).take();
    }

    async fn connection(&self) -> Result<Arc<Connection>> {
        if let Some(connection) = self.usable() {
            return Ok(connection);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(connection) = self.usable() {
            return Ok(connection);
        }
        let connection = Arc::new(Connection::open(&self.config, self.timeout, &self.inbox).await?);
        if let Some(attachment) = self.attachment.get() {
            self.attach(&connection, attachment).await?;
        }
        *lock(&self.current) = Some(connection.clone());
        self.inbox.connections.fetch_add(1, Ordering::SeqCst);
        self.inbox.interrupt();
        Ok(connection)
    }

    fn usable(&self) -> Option<Arc<Connection>> {
        lock(&self.current).as_ref().filter(|connection| !connection.is_closed()).cloned()
    }

    /// Continues the session, and finds out what it has lost meanwhile.
    async fn attach(&self, connection: &Connection, attachment: &Attachment) -> Result<()> {
        let (confirmed, greatest) = (self.inbox.entries.confirmed(), attachment.history.greatest());
        let rows = connection.query(ATTACH, &[&attachment.session]).await;
        let reply = Reply(rows.map_err(|error| from_native(error, &self.config.address))?);
        let last = reply.number(0, "last_number")?.unwrap_or_default();
        let ended = match attachment.history.opened(reply.get(0, "history")?, last, greatest) {
            number if number != attachment.history_number => Some(history_changed()),
            _ => (reply.status() == "LOST").then(session_lost),
        };
        if let Some(error) = ended {
            self.inbox.end(error.clone());
            return Err(error);
        }
        let present: Option<Vec<&[u8]>> = reply.get(0, "nonces")?;
        let present: Vec<_> = present.iter().flatten().filter_map(|nonce| nonce_of(nonce)).collect();
        confirmed.into_iter().filter(|nonce| !present.contains(nonce)).for_each(|nonce| self.inbox.removed(nonce));
        Ok(())
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("config", &self.config).finish_non_exhaustive()
    }
}
