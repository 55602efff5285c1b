//! What the driver needs of a ZooKeeper client crate.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tooz_core::driver::TlsPems;

use crate::client::background::Background;
use crate::client::connection_state::ConnectionState;
use crate::config::ClientCrate;
use crate::error::Answer;

/// One session of a client crate.
///
/// A backend reports connections, their loss, watch events and the end of the session to the [`ConnectionState`] that it was
/// connected with. Requests are carried out in the order in which they were made. Dropping the backend ends the session.
#[async_trait]
pub(crate) trait Backend: Debug + Send + Sync {
    /// Does what a new connection needs before its first request. The answer proves that the connection works.
    async fn prepare(&self) -> Answer<()>;

    /// Creates a znode and returns its path.
    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Answer<(String, Stat)>;

    async fn delete(&self, path: &str, version: Option<i32>) -> Answer<()>;

    async fn set_data(&self, path: &str, data: &[u8], version: Option<i32>) -> Answer<Stat>;

    async fn data(&self, path: &str, watch: bool) -> Answer<(Vec<u8>, Stat)>;

    async fn exists(&self, path: &str, watch: bool) -> Answer<Option<Stat>>;

    async fn children(&self, path: &str, watch: bool) -> Answer<Vec<String>>;

    /// Ends the session at the server.
    async fn close(&self) -> Answer<()>;
}

/// The parts of a znode's stat that the driver reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stat {
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) version: i32,
    /// The number of creations and deletions of children.
    pub(crate) cversion: i32,
    pub(crate) children: i32,
    /// The session that an ephemeral znode belongs to.
    pub(crate) owner: i64,
}

/// How a znode is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreateMode {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
}

/// The servers to connect to, and how.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) client: ClientCrate,
    /// Servers that answered just now, with their addresses.
    pub(crate) servers: Vec<(String, SocketAddr)>,
    /// The session timeout to ask for.
    pub(crate) ttl: Duration,
    /// `user:password` for digest authentication.
    pub(crate) digest: Option<String>,
    #[allow(dead_code, reason = "only one of the two clients speaks TLS")]
    pub(crate) tls: Option<TlsPems>,
    pub(crate) state: Arc<ConnectionState>,
    /// Where the client crate works.
    pub(crate) background: Arc<Background>,
}

/// A byte stream to a server, plain or encrypted.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
