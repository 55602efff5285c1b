//! Connecting: what the URL, the builder and the defaults say, in this order of weakness.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::coordinator::Coordinator;
use crate::driver::{DriverInfo, Nonce, SessionOptions};
use crate::state::SessionState;
use crate::supervisor::{Current, Shared};
use crate::{Characteristic, Error, ErrorKind, Name, Registry, Result, ServiceUrl};

const DEFAULT_NAMESPACE: &str = "tooz";
const DEFAULT_TTL: Duration = Duration::from_secs(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of a [`Coordinator`] that is about to connect. What is set here outweighs the URL.
///
/// Every URL may carry `member`, `namespace`, `ttl`, `heartbeat` and `timeout` as options; the driver has its own
/// besides, see its page.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    url: Result<ServiceUrl, Error>,
    member: Option<Vec<u8>>,
    namespace: Option<String>,
    ttl: Option<Duration>,
    heartbeat: Option<Duration>,
    timeout: Option<Duration>,
    required: Vec<Characteristic>,
    registry: Option<Registry>,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.parse(),
            member: None,
            namespace: None,
            ttl: None,
            heartbeat: None,
            timeout: None,
            required: Vec::new(),
            registry: None,
        }
    }

    /// Who we are in groups and in the list of holders: unique among the clients, at most 512 bytes.
    /// Default: host name, process id and a random part.
    pub fn member(mut self, id: impl AsRef<[u8]>) -> Self {
        self.member = Some(id.as_ref().to_vec());
        self
    }

    /// What everything in the backend stands under; clients meet only inside one namespace. Default: `tooz`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// After how long without a renewal the backend gives what we hold to others. Default: 10 s.
    ///
    /// Short means quick failover, and losses when the network or the process stalls. The backend may grant another.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How often the session is renewed; at most, and by default, a third of the TTL.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval);
        self
    }

    /// How long a request may take, and how long one that fails is repeated. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Refuses a backend that does not have this characteristic. May be called more than once.
    pub fn require(mut self, characteristic: Characteristic) -> Self {
        self.required.push(characteristic);
        self
    }

    /// Sets an option of the driver, as if the URL had carried it.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.url = self.url.map(|url| url.with_option(name, value));
        self
    }

    /// Chooses among these drivers instead of those linked into the program.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Connects, opens a session and keeps it alive from now on. Needs a Tokio runtime with time.
    ///
    /// # Errors
    /// `InvalidUrl`, `InvalidOption`, `InvalidName`, `NoDriverFound`, `DriverChosenPoorly`, `Unavailable`, `AuthFailed`.
    pub async fn connect(self) -> Result<Coordinator> {
        self.connect_inner().await.map_err(|error| error.with_operation("connect"))
    }

    async fn connect_inner(self) -> Result<Coordinator> {
        let url = self.url.as_ref().map_err(Error::clone)?.clone();
        let driver = self.registry.clone().unwrap_or_default().driver(&url)?;
        let info = driver.info();
        self.check_characteristics(&info)?;
        let options = self.session_options(&url, &info)?;
        let heartbeat = self.heartbeat.map_or_else(|| url.options().get("heartbeat"), |own| Ok(Some(own)))?;
        if heartbeat.is_some_and(|heartbeat| heartbeat.is_zero() || heartbeat >= options.ttl) {
            let message = format!("the heartbeat interval must be above zero and below the TTL of {:?}", options.ttl);
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        let shared = Shared {
            driver,
            info,
            options,
            heartbeat,
            current: watch::Sender::new(Current::Opening(String::new())),
            states: broadcast::Sender::new(64),
            state: watch::Sender::new(SessionState::Connected),
            closing: CancellationToken::new(),
            joined: Mutex::default(),
        };
        let live = shared.open().await.map_err(|error| error.with_context("url", &url))?;
        shared.current.send_replace(Current::Live(live.clone()));
        Ok(Coordinator::start(Arc::new(shared), live))
    }

    fn check_characteristics(&self, info: &DriverInfo) -> Result<()> {
        match self.required.iter().find(|required| !info.characteristics.contains(required)) {
            None => Ok(()),
            Some(missing) => {
                let has: Vec<_> = info.characteristics.iter().map(ToString::to_string).collect();
                let message = format!("the {} driver is not {missing}; it is {}", info.name, has.join(", "));
                Err(Error::new(ErrorKind::DriverChosenPoorly, message))
            }
        }
    }

    fn session_options(&self, url: &ServiceUrl, info: &DriverInfo) -> Result<SessionOptions> {
        let options = url.options();
        let member = match &self.member {
            Some(member) => Name::new(member),
            None => options.get::<String>("member")?.map_or_else(default_member, Name::new),
        };
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => options.get("namespace")?.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        };
        Name::new(&namespace).map_err(|error| error.with_context("namespace", &namespace))?;
        let ttl = match self.ttl {
            Some(ttl) => ttl,
            None => options.get("ttl")?.or(info.ttl).unwrap_or(DEFAULT_TTL),
        };
        let timeout = match self.timeout {
            Some(timeout) => timeout,
            None => options.get("timeout")?.unwrap_or(DEFAULT_TIMEOUT),
        };
        if ttl.is_zero() || timeout.is_zero() {
            return Err(Error::new(ErrorKind::InvalidOption, "the TTL and the timeout must be above zero"));
        }
        let member = member.map_err(|error| error.with_context("what", "member id"))?;
        Ok(SessionOptions::new(namespace, member, ttl, timeout))
    }
}

fn default_member() -> Result<Name> {
    let host = gethostname::gethostname();
    let host: String = host.to_string_lossy().chars().take(64).collect();
    Name::new(format!("{host}-{}-{:.6}", std::process::id(), Nonce::random().to_string()))
}
