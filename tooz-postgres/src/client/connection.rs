//! One connection: how it is made and set up, its prepared statements, and the notifications that arrive on it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Error as Native, NoTls, Row, Socket, Statement};
use tooz_core::Result;
use tooz_core::driver::support::lock;

use super::install::install;
use super::reply::Param;
use crate::config::Config;
use crate::error::from_native;
use crate::inbox::Inbox;

/// A connection of which the server's process has the settings of the driver.
pub(super) struct Connection {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
    task: AbortHandle,
}

impl Connection {
    /// Connects, sets the connection up and installs the schema if it is missing.
    pub(super) async fn open(config: &Config, timeout: Duration, inbox: &Arc<Inbox>) -> Result<Self> {
        let connection = match &config.tls {
            #[cfg(feature = "tls")]
            Some(tls) => dial(config, super::tls::connector(tls)?, inbox).await,
            _ => dial(config, NoTls, inbox).await,
        };
        let connection = connection.map_err(|error| from_native(error, &config.address))?;
        let settings = settings(config, timeout);
        let set = connection.client.batch_execute(&settings).await;
        set.map_err(|error| from_native(error, &config.address))?;
        install(&connection.client, config).await?;
        Ok(connection)
    }

    /// Runs a statement, which is prepared when it is used for the first time.
    pub(super) async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Native> {
        let known = lock(&self.prepared).get(sql).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let statement = self.client.prepare(sql).await?;
                lock(&self.prepared).insert(sql, statement.clone());
                statement
            }
        };
        self.client.query(&statement, params).await
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends the connection without waiting for what it carries.
    pub(super) fn close(&self) {
        self.task.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Statistics are gathered while the tables are small and plans are kept, so the settings prevent plans that read whole
/// tables. A statement ends a little before the client gives up, so that the client learns of it.
fn settings(config: &Config, timeout: Duration) -> String {
    let limit = (timeout * 9 / 10).as_millis().max(1);
    format!(
        "SET search_path TO {}; SET statement_timeout = {limit}; SET client_min_messages = warning; \
         SET default_transaction_isolation = 'read committed'; SET plan_cache_mode = force_generic_plan; \
         SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        config.quoted_schema()
    )
}

async fn dial<T>(config: &Config, tls: T, inbox: &Arc<Inbox>) -> Result<Connection, Native>
where
    T: MakeTlsConnect<Socket> + Send,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as tokio_postgres::tls::TlsConnect<Socket>>::Future: Send,
{
    let (client, mut stream) = config.server.connect(tls).await?;
    let inbox = OnEnd(inbox.clone());
    let task = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| stream.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                inbox.0.receive(notification.payload());
            }
        }
    });
    Ok(Connection { client, prepared: Mutex::default(), task: task.abort_handle() })
}

/// Tells the inbox when the connection has ended, however it did.
struct OnEnd(Arc<Inbox>);

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.0.call_maintenance();
    }
}
