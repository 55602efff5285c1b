//! Reads a URL into typed options. The names and meanings are those of Python's tooz.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tooz_core::{Error, ErrorKind, OptionReader, Result, ServiceUrl};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// A session may have to be renewed in each of them.
const MAX_SHARDS: u32 = 256;

/// Where the server is.
#[derive(Debug, PartialEq)]
pub(crate) enum Topology {
    Single(String, u16),
    Unix(PathBuf),
    Sentinel { hosts: Vec<(String, u16)>, service: String },
    Cluster(Vec<(String, u16)>),
}

/// A user name and a password, of which either may be missing.
#[derive(Default, PartialEq)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Files in PEM format. Without `ca` the certificates of the system count.
#[derive(Debug, Default, PartialEq)]
#[allow(dead_code, reason = "a build without TLS reads no files")]
pub(crate) struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// The content of the URL.
#[derive(Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) topology: Topology,
    pub(crate) login: Login,
    pub(crate) sentinel_login: Login,
    pub(crate) database: Option<u8>,
    pub(crate) tls: Option<Tls>,
    /// Over how many hash tags the namespace is spread.
    pub(crate) shards: usize,
    /// How many replicas must have an entry before it counts.
    pub(crate) replicas: u32,
    pub(crate) socket_timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) health_check_interval: Option<Duration>,
    pub(crate) keepalive: bool,
    pub(crate) ttl: Option<Duration>,
    /// For messages.
    pub(crate) address: String,
}

impl Config {
    pub(crate) fn from_url(url: &ServiceUrl) -> Result<Self> {
        let options = url.options();
        let (tls, family) = family(url.scheme());
        let login = Login { username: url.username().map(str::to_owned), password: url.password().map(str::to_owned) };
        let sentinel_login =
            Login { username: options.get("sentinel_username")?, password: options.get("sentinel_password")? };
        let topology = topology(url, family, &options)?;
        let ttl = [options.get::<Duration>("membership_timeout")?, options.get("lock_timeout")?];
        let config = Self {
            tls: read_tls(&options, tls, matches!(topology, Topology::Sentinel { .. }))?,
            database: database(url, &topology, &options)?,
            login,
            sentinel_login,
            shards: shards(&options)?,
            replicas: options.get("replicas")?.unwrap_or(0),
            socket_timeout: options.get("socket_timeout")?,
            connect_timeout: options.get("socket_connect_timeout")?,
            health_check_interval: options.get("health_check_interval")?,
            keepalive: options.get("socket_keepalive")?.unwrap_or(false),
            // One session keeps locks and memberships, so the shorter timeout counts.
            ttl: ttl.into_iter().flatten().min(),
            address: topology.to_string(),
            topology,
        };
        // Accepted without effect: every request is safe to repeat here.
        options.get::<bool>("retry_on_timeout")?;
        let encoding: Option<String> = options.get("encoding")?;
        if encoding.is_some_and(|name| !matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf-8")) {
            return Err(invalid("option \"encoding\" can only be utf8: names are bytes, and text is UTF-8"));
        }
        options.finish()?;
        Ok(config)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |hosts: &[(String, u16)]| hosts.iter().map(|(h, p)| format!("{h}:{p}")).collect::<Vec<_>>().join(",");
        match self {
            Self::Single(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Sentinel { hosts, service } => write!(f, "{service} of the sentinels {}", list(hosts)),
            Self::Cluster(hosts) => write!(f, "the cluster {}", list(hosts)),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    Single,
    Sentinel,
    Cluster,
}

/// Whether a scheme means TLS, and which kind of server it leads to.
fn family(scheme: &str) -> (bool, Family) {
    let (product, kind) = scheme.split_once('-').unwrap_or((scheme, ""));
    let family = match kind {
        "sentinel" => Family::Sentinel,
        "cluster" => Family::Cluster,
        _ => Family::Single,
    };
    (matches!(product, "rediss" | "valkeys"), family)
}

fn topology(url: &ServiceUrl, family: Family, options: &OptionReader<'_>) -> Result<Topology> {
    let hosts = |default: u16| -> Vec<(String, u16)> {
        url.hosts().iter().map(|host| (host.name.clone(), host.port.unwrap_or(default))).collect()
    };
    let service: Option<String> = options.get("sentinel")?;
    let fallbacks: Vec<String> = options.get_all("sentinel_fallback")?;
    let by_sentinel = family == Family::Sentinel || service.is_some();
    match (family, url.hosts()) {
        _ if !by_sentinel && !fallbacks.is_empty() => {
            Err(invalid("option \"sentinel_fallback\" needs \"sentinel\", the name of the primary"))
        }
        (Family::Cluster, _) if by_sentinel => Err(invalid("a cluster does not use sentinels")),
        (_, []) if family != Family::Single || by_sentinel => {
            Err(Error::new(ErrorKind::InvalidUrl, "this URL needs a host, as in redis-cluster://host:6379"))
        }
        (Family::Cluster, _) => Ok(Topology::Cluster(hosts(PORT))),
        _ if by_sentinel => {
            let mut hosts = hosts(SENTINEL_PORT);
            for fallback in &fallbacks {
                hosts.extend(sentinel_host(fallback)?);
            }
            Ok(Topology::Sentinel { hosts, service: service.unwrap_or_else(|| "mymaster".to_owned()) })
        }
        (_, [host]) => Ok(Topology::Single(host.name.clone(), host.port.unwrap_or(PORT))),
        (_, []) if url.path().len() > 1 => Ok(Topology::Unix(url.path().into())),
        (_, []) => Err(Error::new(
            ErrorKind::InvalidUrl,
            "a Redis URL is redis://host:6379/0, or redis:///path/to/socket for a Unix socket",
        )),
        _ => Err(Error::new(
            ErrorKind::InvalidUrl,
            "several hosts need the scheme redis-cluster or redis-sentinel, or the option sentinel",
        )),
    }
}

/// `host:port`, read by the parser of URLs, so that IPv6 addresses are understood.
fn sentinel_host(text: &str) -> Result<Vec<(String, u16)>> {
    let url: ServiceUrl = format!("sentinel://{text}")
        .parse()
        .map_err(|_| invalid(format!("option \"sentinel_fallback\" is \"{text}\" but must be host:port")))?;
    Ok(url.hosts().iter().map(|host| (host.name.clone(), host.port.unwrap_or(SENTINEL_PORT))).collect())
}

fn shards(options: &OptionReader<'_>) -> Result<usize> {
    match options.get("shards")?.unwrap_or(1) {
        shards @ 1..=MAX_SHARDS => Ok(shards as usize),
        shards => Err(invalid(format!("option \"shards\" is {shards}, but must be from 1 to {MAX_SHARDS}"))),
    }
}

fn database(url: &ServiceUrl, topology: &Topology, options: &OptionReader<'_>) -> Result<Option<u8>> {
    let named: Option<u32> = options.get("db")?;
    let path = match topology {
        Topology::Unix(_) => "",
        _ => url.path().trim_matches('/'),
    };
    let in_path = match path {
        "" => None,
        path => Some(path.parse::<u32>().map_err(|_| {
            Error::new(ErrorKind::InvalidUrl, format!("the path \"/{path}\" must be a database number, as in /0"))
        })?),
    };
    let number = match (named, in_path) {
        (Some(one), Some(other)) if one != other => {
            return Err(invalid("the database in the path and the option \"db\" differ"));
        }
        (named, in_path) => named.or(in_path),
    };
    match number {
        Some(1..) if matches!(topology, Topology::Cluster(_)) => Err(invalid("a cluster has the database 0 only")),
        Some(number) => {
            u8::try_from(number).map(Some).map_err(|_| invalid(format!("the database {number} is above 255")))
        }
        None => Ok(None),
    }
}

fn read_tls(options: &OptionReader<'_>, by_scheme: bool, sentinel: bool) -> Result<Option<Tls>> {
    let wanted = options.get("ssl")?.unwrap_or(by_scheme);
    if by_scheme && !wanted {
        return Err(invalid("the scheme asks for TLS and the option \"ssl\" forbids it: remove one of them"));
    }
    let tls = Tls {
        ca: options.get("ssl_ca_certs")?,
        certificate: options.get("ssl_certfile")?,
        key: options.get("ssl_keyfile")?,
    };
    let of_sentinel = options.get("sentinel_ssl")?.unwrap_or(by_scheme);
    match wanted {
        _ if sentinel && wanted != of_sentinel => Err(Error::new(
            ErrorKind::Unsupported,
            "TLS is for the sentinels and the servers alike: set \"ssl\" and \"sentinel_ssl\" both, or use a scheme with TLS",
        )),
        true if tls.certificate.is_none() && tls.key.is_some() => {
            Err(invalid("option \"ssl_keyfile\" needs \"ssl_certfile\" too"))
        }
        false if tls.ca.is_some() || tls.certificate.is_some() || tls.key.is_some() => {
            Err(invalid("options with \"ssl_\" need TLS: use the scheme rediss, or set \"ssl\""))
        }
        wanted => Ok(wanted.then_some(tls)),
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
