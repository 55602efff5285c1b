//! The URL and its options, typed: `etcd://user:password@host:2379,host:2379/prefix?ca_cert=…`.

use std::fmt;
use std::time::Duration;

use tooz_core::driver::TlsFiles;
use tooz_core::{Error, ErrorKind, Result, ServiceUrl};

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 2379;

/// What the URL says.
#[derive(Clone)]
pub(crate) struct Config {
    /// `host:port`, in the order of the URL.
    pub(crate) addresses: Vec<String>,
    /// The prefix of all keys, before the namespace.
    pub(crate) path: String,
    /// The TTL that the options of Python's tooz ask for.
    pub(crate) ttl: Option<Duration>,
    /// Name and password.
    pub(crate) user: Option<(String, String)>,
    /// The files for TLS. Without a CA, those of the system count.
    pub(crate) tls: Option<TlsFiles>,
}

impl Config {
    pub(crate) fn new(url: &ServiceUrl) -> Result<Self> {
        let options = url.options();
        let tls = TlsFiles::from_options(&options, ["ca_cert", "cert_cert", "cert_key"])?;
        let lock_timeout: Option<Duration> = options.get("lock_timeout")?;
        let membership_timeout: Option<Duration> = options.get("membership_timeout")?;
        let legacy = url.scheme().starts_with("etcd3+");
        // Python's tooz also uses it as the TTL of locks and members that have no timeout of their own.
        let timeout = if legacy { options.get("timeout")? } else { None };
        let ttl = [lock_timeout.or(timeout), membership_timeout.or(timeout)].into_iter().flatten().min();
        let api_version: Option<String> = options.get("api_version")?;
        options.finish()?;
        if let Some(version) = api_version.filter(|version| !version.starts_with("v3")) {
            return Err(invalid(format!("option \"api_version\" is \"{version}\", but this driver speaks v3 only")));
        }
        let encrypted = matches!(url.scheme(), "etcds" | "etcd3+https");
        if !encrypted && !tls.is_empty() {
            return Err(invalid("ca_cert, cert_cert and cert_key need TLS: write etcds:// or etcd3+https://"));
        }
        let addresses = match url.hosts() {
            [] => vec![format!("{DEFAULT_HOST}:{DEFAULT_PORT}")],
            hosts => hosts.iter().map(|host| host.with_default_port(DEFAULT_PORT)).collect(),
        };
        let user = url.credentials()?.map(|(name, password)| (name.to_owned(), password.to_owned()));
        Ok(Self { addresses, path: url.path().to_owned(), ttl, user, tls: encrypted.then_some(tls) })
    }

    /// The URI of an endpoint.
    pub(crate) fn uri(&self, address: &str) -> String {
        format!("{}://{address}", if self.tls.is_some() { "https" } else { "http" })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("addresses", &self.addresses).field("path", &self.path).finish_non_exhaustive()
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<Config> {
        Config::new(&url.parse().unwrap())
    }

    #[test]
    fn hosts_ports_and_paths_are_read() {
        let config = config("etcds://me:pw@a,[::1]:1/prod").unwrap();
        assert_eq!(config.addresses, ["a:2379", "[::1]:1"]);
        assert_eq!(config.uri(&config.addresses[1]), "https://[::1]:1");
        assert!(!format!("{config:?}").contains("pw"));
        assert_eq!(super::tests::config("etcd3+http://").unwrap().addresses, ["localhost:2379"]);
    }

    #[test]
    fn urls_of_pythons_tooz_keep_their_meaning() {
        let seconds = |url: &str| config(url).unwrap().ttl.map(|ttl| ttl.as_secs());
        assert_eq!(seconds("etcd3+http://h?timeout=7&api_version=v3alpha"), Some(7));
        assert_eq!(seconds("etcd3+http://h?timeout=7&lock_timeout=9"), Some(7));
        assert_eq!(seconds("etcd3+http://h?lock_timeout=9&membership_timeout=8"), Some(8));
        assert_eq!(seconds("etcd://h?timeout=7"), None);
    }

    #[test]
    fn contradictions_are_refused() {
        for url in
            ["etcd://h?ca_cert=/x", "etcds://h?cert_cert=/x", "etcd3+http://h?api_version=v2", "etcd://h?colour=red"]
        {
            assert_eq!(config(url).unwrap_err().kind(), ErrorKind::InvalidOption, "{url}");
        }
        assert_eq!(config("etcd://me@h").unwrap_err().kind(), ErrorKind::InvalidUrl);
    }
}
