//! Connecting. Builder methods override URL options; URL options override defaults.

use std::time::Duration;

use super::handle::Coordinator;
use crate::driver::{DriverInfo, Nonce, SessionOptions};
use crate::session::supervisor::Supervisor;
use crate::{Characteristic, Error, ErrorKind, Name, Registry, Result, ServiceUrl, telemetry};

const DEFAULT_NAMESPACE: &str = "tooz";
const DEFAULT_TTL: Duration = Duration::from_secs(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// A shorter interval would renew without a pause.
const LEAST_HEARTBEAT: Duration = Duration::from_millis(1);
/// A host name may be longer than a member id should be.
const HOST_NAME_LEN: usize = 64;

/// Connects to the backend at `url` with the options that the URL carries.
///
/// [`Coordinator::builder`] sets options in code.
///
/// # Errors
/// As [`Builder::connect`].
pub async fn connect(url: impl AsRef<str>) -> Result<Coordinator> {
    Coordinator::builder(url).connect().await
}

impl Coordinator {
    /// Options for connecting to the backend at `url`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tooz_core::Error> {
    /// use std::time::Duration;
    /// use tooz_core::{Characteristic, Coordinator};
    ///
    /// let coordinator = Coordinator::builder("memory://example")
    ///     .member("host-a")
    ///     .ttl(Duration::from_secs(10))
    ///     .require(Characteristic::Linearizable)
    ///     .connect()
    ///     .await?;
    /// coordinator.close().await;
    /// # Ok(()) }
    /// ```
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref())
    }
}

/// Options of a [`Coordinator`] that is about to connect. Each method overrides the option of the same name in the URL.
///
/// Every URL may carry the options `member`, `namespace`, `ttl`, `heartbeat`, `timeout` and `max_value_size`. Each driver
/// adds its own, which its documentation lists.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    url: Result<ServiceUrl>,
    member: Option<Vec<u8>>,
    namespace: Option<String>,
    ttl: Option<Duration>,
    heartbeat: Option<Duration>,
    timeout: Option<Duration>,
    max_value_size: Option<usize>,
    required: Vec<Characteristic>,
    registry: Option<Registry>,
}

impl Builder {
    fn new(url: &str) -> Self {
        Self {
            url: url.parse(),
            member: None,
            namespace: None,
            ttl: None,
            heartbeat: None,
            timeout: None,
            max_value_size: None,
            required: Vec::new(),
            registry: None,
        }
    }

    /// The member id of this client, in groups and in the [`Queue`](crate::Queue) of a lock: 1 to 512 bytes, unique
    /// among the clients. Default: the host name, the process id and a random part.
    pub fn member(mut self, id: impl AsRef<[u8]>) -> Self {
        self.member = Some(id.as_ref().to_vec());
        self
    }

    /// The prefix of everything in the backend. Clients share objects only inside one namespace. Default: `tooz`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long the backend keeps the session without a renewal before it grants what the session held to other clients.
    /// Default: 10 s. Each driver has a least and a greatest TTL; `connect` refuses any other.
    ///
    /// A short TTL means quick failover, but also a loss whenever the network or the process stalls that long. The
    /// backend may grant a different TTL.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The interval of renewals: at least 1 ms, and shorter than the TTL. Default, and at most: a third of the TTL.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval);
        self
    }

    /// How long one request may take, and for how long a request that fails is repeated: 1 ms to 24 h. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The greatest size in bytes of what an entry carries, such as the encoded capabilities of a member: at most 512 KiB.
    /// Default: 64 KiB.
    ///
    /// Every member of a group reads the values of all members, so large values delay all of them.
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.max_value_size = Some(bytes);
        self
    }

    /// Refuses to connect to a backend without this characteristic. Each call adds one.
    pub fn require(mut self, characteristic: Characteristic) -> Self {
        self.required.push(characteristic);
        self
    }

    /// Sets an option of the driver, as if it were at the end of the URL.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.url = self.url.map(|url| url.with_option(name, value));
        self
    }

    /// The drivers to choose from. Default: those that are linked into the program.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Connects, opens a session and starts the task that renews it.
    ///
    /// Call it in a Tokio runtime whose time driver is enabled, and which runs for as long as the coordinator is used.
    ///
    /// # Errors
    /// - `InvalidUrl`, `InvalidOption`, `InvalidName`: the URL or an option is wrong.
    /// - `NoDriverFound`: no driver serves the scheme of the URL.
    /// - `DriverChosenPoorly`: the driver lacks a [required](Self::require) characteristic.
    /// - `Unavailable`, `AuthFailed`: the backend does not answer, or refuses the credentials.
    pub async fn connect(self) -> Result<Coordinator> {
        self.open().await.map_err(|error| error.with_operation("connect"))
    }

    async fn open(self) -> Result<Coordinator> {
        telemetry::describe();
        let url = self.url.as_ref().map_err(Error::clone)?;
        let driver = self.registry.clone().unwrap_or_default().driver(url)?;
        let info = driver.info();
        self.check_characteristics(&info)?;
        let options = self.session_options(url, &info)?;
        let heartbeat = self.checked_heartbeat(url, options.ttl)?;
        let supervisor = Supervisor::start(driver, options, heartbeat).await;
        Ok(Coordinator::new(supervisor.map_err(|error| error.with_context("url", url))?))
    }

    fn check_characteristics(&self, info: &DriverInfo) -> Result<()> {
        match self.required.iter().find(|required| !info.characteristics.contains(required)) {
            None => Ok(()),
            Some(missing) => {
                let has: Vec<_> = info.characteristics.iter().map(ToString::to_string).collect();
                let message = format!(
                    "the {} driver lacks the required characteristic {missing}; it has {}",
                    info.name,
                    has.join(", ")
                );
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
        let member = member.map_err(|error| error.with_context("used as", "member id"))?;
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => options.get("namespace")?.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        };
        Name::new(&namespace).map_err(|error| error.with_context("used as", "namespace"))?;
        let ttl = match self.ttl {
            Some(ttl) => ttl,
            None => options.get("ttl")?.or(info.ttl).unwrap_or(DEFAULT_TTL),
        };
        let timeout = match self.timeout {
            Some(timeout) => timeout,
            None => options.get("timeout")?.unwrap_or(DEFAULT_TIMEOUT),
        };
        check_durations(ttl, timeout, info)?;
        let max_value_size = match self.max_value_size {
            Some(bytes) => bytes,
            None => {
                options.get("max_value_size")?.map_or(SessionOptions::DEFAULT_MAX_VALUE_SIZE, |size: u32| size as usize)
            }
        };
        let greatest = SessionOptions::MAX_VALUE_SIZE;
        if max_value_size > greatest {
            let message = format!("option \"max_value_size\" is {max_value_size} but must be at most {greatest} bytes");
            return Err(invalid(message));
        }
        Ok(SessionOptions::new(namespace, member, ttl, timeout).with_max_value_size(max_value_size))
    }

    fn checked_heartbeat(&self, url: &ServiceUrl, ttl: Duration) -> Result<Option<Duration>> {
        let heartbeat = match self.heartbeat {
            Some(heartbeat) => Some(heartbeat),
            None => url.options().get("heartbeat")?,
        };
        match heartbeat {
            Some(heartbeat) if heartbeat < LEAST_HEARTBEAT || heartbeat >= ttl => Err(invalid(format!(
                "option \"heartbeat\" is {heartbeat:?} but must be at least {LEAST_HEARTBEAT:?} and shorter than the TTL \
                 of {ttl:?}"
            ))),
            _ => Ok(heartbeat),
        }
    }
}

pub(super) fn check_durations(ttl: Duration, timeout: Duration, info: &DriverInfo) -> Result<()> {
    let (least, greatest) = info.ttl_range;
    if ttl < least || ttl > greatest {
        let name = info.name;
        return Err(invalid(format!(
            "option \"ttl\" is {ttl:?}, but the {name} driver accepts {least:?} to {greatest:?}"
        )));
    }
    let (least, greatest) = SessionOptions::TIMEOUT_RANGE;
    if timeout < least || timeout > greatest {
        return Err(invalid(format!("option \"timeout\" is {timeout:?} but must be {least:?} to {greatest:?}")));
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

fn default_member() -> Result<Name> {
    let host = gethostname::gethostname();
    let host: String = host.to_string_lossy().chars().take(HOST_NAME_LEN).collect();
    Name::new(format!("{host}-{}-{:.6}", std::process::id(), Nonce::random().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(url: &str, set: impl Fn(Builder) -> Builder) -> String {
        let error = set(Coordinator::builder(url)).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
        error.to_string()
    }

    #[tokio::test]
    async fn the_greatest_duration_panicked() {
        let error = refused("memory://extremes", |builder| builder.ttl(Duration::MAX)).await;
        assert!(error.contains("memory driver accepts 1ms to 4294967295s"), "{error}");
        let error = refused("memory://extremes", |builder| builder.timeout(Duration::MAX)).await;
        assert!(error.contains("must be 1ms to 86400s"), "{error}");
        refused("memory://extremes", |builder| builder.heartbeat(Duration::MAX)).await;
        refused("memory://extremes?ttl=4294967296", |builder| builder).await;
    }

    #[tokio::test]
    async fn durations_below_a_millisecond_are_refused() {
        for short in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(999)] {
            refused("memory://extremes", |builder| builder.ttl(short)).await;
            refused("memory://extremes", |builder| builder.timeout(short)).await;
            refused("memory://extremes", |builder| builder.heartbeat(short)).await;
        }
        for option in [
            "ttl=0",
            "ttl=0.1ms",
            "timeout=0",
            "timeout=0.1ms",
            "timeout=25h",
            "heartbeat=0.1ms",
            "ttl=1e9",
            "max_value_size=524289",
        ] {
            refused(&format!("memory://extremes?{option}"), |builder| builder).await;
        }
    }

    #[tokio::test]
    async fn the_greatest_ttl_and_timeout_connect() -> Result<()> {
        let (_, ttl) = DriverInfo::new("", &[]).ttl_range;
        let builder = Coordinator::builder("memory://extremes").ttl(ttl).timeout(SessionOptions::TIMEOUT_RANGE.1);
        let coordinator = builder.connect().await?;
        coordinator.lock("l").acquire_timeout(Duration::MAX).await?.release().await?;
        coordinator.close().await;
        Ok(())
    }
}
