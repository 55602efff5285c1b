//! The connections and subscriptions that sessions of one process share.
//!
//! - Sessions share a client if they have the same URL, credentials and options included, the same namespace and the same
//!   request timeout, in one process and one runtime. So a fork connects anew, and a runtime that ends takes no session of
//!   another along.
//! - A client that has lost a connection gets no further sessions: a new session connects anew, and reports why it cannot.
//! - The connections are closed when the last session is dropped.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::task::JoinHandle;
use tooz_core::Result;
use tooz_core::driver::support::lock;
use tooz_core::driver::{Nonce, SessionOptions};

use crate::client::Connections;
use crate::config::Config;
use crate::layout::Layout;
use crate::notify::Subscriptions;

/// A client, which its sessions keep alive.
#[derive(Debug)]
pub(crate) struct SharedClient {
    /// Random, so that it is never taken for another client.
    id: String,
    pub(crate) layout: Layout,
    pub(crate) connections: Arc<Connections>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    tasks: [JoinHandle<()>; 2],
}

/// What sessions must have in common to share a client.
#[derive(Debug, PartialEq)]
struct Key {
    config: Arc<Config>,
    namespace: String,
    timeout: Duration,
    process: u32,
    runtime: Id,
}

/// The client for one key. It is locked while a session connects, so that others wait for the connections.
type Slot = tokio::sync::Mutex<Weak<SharedClient>>;

/// The clients of this process.
static SLOTS: Mutex<Vec<(Key, Arc<Slot>)>> = Mutex::new(Vec::new());

/// The longest time between two checks that notifications arrive.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

impl SharedClient {
    /// Returns the client for a session with these options. Connects if there is none.
    pub(crate) async fn get(config: &Arc<Config>, options: &SessionOptions) -> Result<Arc<Self>> {
        let slot = slot(Key {
            config: config.clone(),
            namespace: options.namespace.clone(),
            timeout: options.timeout,
            process: std::process::id(),
            runtime: Handle::current().id(),
        });
        let mut client = slot.lock().await;
        if let Some(connected) = client.upgrade().filter(|client| client.connections.are_up()) {
            return Ok(connected);
        }
        let connected = Arc::new(Self::connect(config, options).await?);
        *client = Arc::downgrade(&connected);
        Ok(connected)
    }

    async fn connect(config: &Config, options: &SessionOptions) -> Result<Self> {
        let connections = Arc::new(Connections::open(config, options).await?);
        let id = random_id();
        let layout = Layout::new(&options.namespace, config.shards);
        let interval = config.health_check_interval.unwrap_or(options.timeout / 2).min(CHECK_INTERVAL);
        let subscriptions = Arc::new(Subscriptions::new(connections.clone(), layout.clone(), &id, interval));
        let tasks = [tokio::spawn(subscriptions.clone().receive()), tokio::spawn(subscriptions.clone().maintain())];
        let client = Self { id, layout, connections, subscriptions, tasks };
        client.subscriptions.start().await?;
        Ok(client)
    }

    /// The id for a new session. It begins with the client's, so that the scripts know where to send notifications.
    pub(crate) fn new_session_id(&self) -> String {
        [&*self.id, &random_id()].concat()
    }
}

impl Drop for SharedClient {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The slot for a key. Forgets those without a client.
fn slot(key: Key) -> Arc<Slot> {
    let mut slots = lock(&SLOTS);
    slots.retain_mut(|(_, slot)| Arc::get_mut(slot).is_none_or(|unused| unused.get_mut().strong_count() > 0));
    if let Some((_, slot)) = slots.iter().find(|(known, _)| *known == key) {
        return slot.clone();
    }
    let slot = Arc::new(Slot::default());
    slots.push((key, slot.clone()));
    slot
}

/// 16 hexadecimal digits.
fn random_id() -> String {
    Nonce::random().to_string().split_off(16)
}
