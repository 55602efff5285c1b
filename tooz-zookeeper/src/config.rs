//! Reads the URL: servers, chroot, credentials and TLS files.

use std::path::PathBuf;

use rand::seq::SliceRandom;
use tooz_core::driver::support::read_pem;
use tooz_core::{Error, ErrorKind, OptionReader, OptionValue, Result, ServiceUrl};

const DEFAULT_PORT: u16 = 2181;

/// The driver's part of a URL.
#[derive(Clone)]
pub(crate) struct Config {
    /// `host:port` of each server.
    pub(crate) hosts: Vec<String>,
    /// The znode below which the driver keeps everything: empty, or with a leading and without a trailing slash.
    pub(crate) chroot: String,
    /// `user:password` for digest authentication.
    pub(crate) digest: Option<String>,
    /// The files for TLS connections.
    pub(crate) tls: Option<TlsFiles>,
    /// The client crate that serves the session.
    pub(crate) client: ClientCrate,
    randomize: bool,
}

/// A client crate, as the option `client` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCrate {
    /// The default without TLS, which it does not know.
    ZookeeperAsync,
    /// The default with TLS.
    ZookeeperClient,
}

impl OptionValue for ClientCrate {
    const EXPECTED: &'static str = "zookeeper-async or zookeeper-client";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "zookeeper-async" => Some(Self::ZookeeperAsync),
            "zookeeper-client" => Some(Self::ZookeeperClient),
            _ => None,
        }
    }
}

/// The PEM files that a URL names.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    ca: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
}

/// The contents of [`TlsFiles`].
#[derive(Debug)]
#[allow(dead_code, reason = "a build without TLS reads no files")]
pub(crate) struct PemFiles {
    pub(crate) ca: String,
    /// The certificate chain and its key.
    pub(crate) identity: Option<(String, String)>,
}

impl Config {
    pub(crate) fn from_url(url: &ServiceUrl) -> Result<Self> {
        let options = url.options();
        let mut hosts: Vec<_> = url.hosts().iter().map(|host| host.with_default_port(DEFAULT_PORT)).collect();
        if let Some(more) = options.get::<String>("hosts")? {
            hosts.extend(more.split(',').filter(|host| !host.is_empty()).map(with_default_port));
        }
        if hosts.is_empty() {
            hosts.push(format!("localhost:{DEFAULT_PORT}"));
        }
        let randomize = options.get("randomize_hosts")?.unwrap_or(true);
        let tls = tls_files(&options)?;
        let client = client_crate(&options, tls.is_some())?;
        options.finish()?;
        let digest = url.credentials()?.map(|(user, password)| format!("{user}:{password}"));
        Ok(Self { hosts, chroot: chroot(url.path())?, digest, tls, client, randomize })
    }

    /// The servers in the order in which a session tries them.
    pub(crate) fn hosts_to_try(&self) -> Vec<String> {
        let mut hosts = self.hosts.clone();
        if self.randomize {
            hosts.shuffle(&mut rand::rng());
        }
        hosts
    }
}

/// Leaves out the password.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.hosts.join(","), self.chroot)
    }
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn read(&self) -> Result<PemFiles> {
        let ca = read_pem("ca", &self.ca, "CERTIFICATE")?;
        let identity = match &self.identity {
            None => None,
            Some((cert, key)) => {
                Some((read_pem("certfile", cert, "CERTIFICATE")?, read_pem("keyfile", key, "PRIVATE KEY")?))
            }
        };
        Ok(PemFiles { ca, identity })
    }
}

/// Reads the options that kazoo has for TLS.
fn tls_files(options: &OptionReader<'_>) -> Result<Option<TlsFiles>> {
    let ca = options.get("ca")?;
    let (cert, key): (Option<PathBuf>, Option<PathBuf>) = (options.get("certfile")?, options.get("keyfile")?);
    let verify = options.get("verify_certs")?.unwrap_or(true);
    if !options.get("use_ssl")?.unwrap_or(false) {
        return Ok(None);
    }
    let error = |kind, message| Err(Error::new(kind, message));
    match ca {
        _ if !verify => error(
            ErrorKind::Unsupported,
            "option \"verify_certs\" must be true: without it, anyone can impersonate the server",
        ),
        None => {
            error(ErrorKind::InvalidOption, "option \"use_ssl\" needs option \"ca\", a PEM file of trusted authorities")
        }
        _ if cert.is_some() != key.is_some() => {
            error(ErrorKind::InvalidOption, "options \"certfile\" and \"keyfile\" must be set together")
        }
        Some(ca) => Ok(Some(TlsFiles { ca, identity: cert.zip(key) })),
    }
}

/// The client crate that the option `client` names, or the default one.
fn client_crate(options: &OptionReader<'_>, with_tls: bool) -> Result<ClientCrate> {
    match (options.get("client")?, with_tls) {
        (Some(ClientCrate::ZookeeperAsync), true) => Err(Error::new(
            ErrorKind::InvalidOption,
            "option \"client\" must be zookeeper-client with \"use_ssl\": zookeeper-async knows no TLS",
        )),
        (Some(client), _) => Ok(client),
        (None, true) => Ok(ClientCrate::ZookeeperClient),
        (None, false) => Ok(ClientCrate::ZookeeperAsync),
    }
}

fn with_default_port(host: &str) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { host.to_owned() } else { format!("{host}:{DEFAULT_PORT}") }
}

fn chroot(path: &str) -> Result<String> {
    let path = path.trim_end_matches('/');
    let is_valid = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    if path.split('/').skip(1).all(is_valid) {
        return Ok(path.to_owned());
    }
    Err(Error::new(ErrorKind::InvalidUrl, format!("the chroot \"{path}\" is not a path of znodes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<Config> {
        Config::from_url(&url.parse()?)
    }

    #[test]
    fn an_ensemble_with_chroot_and_credentials() {
        let config = config("zookeeper://u:p%40@a:1,b,[::1]/x/y/?randomize_hosts=no").unwrap();
        assert_eq!(config.hosts_to_try(), ["a:1", "b:2181", "[::1]:2181"]);
        assert_eq!((&*config.chroot, config.digest.as_deref()), ("/x/y", Some("u:p@")));
        assert!(!format!("{config:?}").contains("p@"));
    }

    #[test]
    fn urls_of_python_tooz() {
        assert_eq!(config("kazoo://").unwrap().hosts, ["localhost:2181"]);
        assert_eq!(config("kazoo://a?hosts=b:7,c").unwrap().hosts, ["a:2181", "b:7", "c:2181"]);
        assert!(config("kazoo://a?connection_retry=3").unwrap_err().to_string().contains("randomize_hosts"));
    }

    #[test]
    fn invalid_urls_are_refused() {
        assert_eq!(config("zk://u@a").unwrap_err().kind(), ErrorKind::InvalidUrl);
        assert_eq!(config("zk://a/x//y").unwrap_err().kind(), ErrorKind::InvalidUrl);
    }

    #[test]
    fn tls_options_are_checked() {
        for wrong in ["use_ssl=true", "use_ssl=true&ca=a&certfile=b", "use_ssl=true&ca=a&keyfile=b"] {
            assert_eq!(config(&format!("zk://a?{wrong}")).unwrap_err().kind(), ErrorKind::InvalidOption, "{wrong}");
        }
        assert!(config("zk://a?use_ssl=true&ca=a&certfile=b&keyfile=c").unwrap().tls.is_some());
    }

    #[test]
    fn only_tls_and_the_option_change_the_client() {
        let client = |url: &str| config(url).map(|config| config.client);
        assert_eq!(client("zk://a").unwrap(), ClientCrate::ZookeeperAsync);
        assert_eq!(client("zk://a?client=zookeeper-client").unwrap(), ClientCrate::ZookeeperClient);
        assert_eq!(client("zk://a?use_ssl=true&ca=a").unwrap(), ClientCrate::ZookeeperClient);
        for wrong in ["client=kazoo", "client=zookeeper-async&use_ssl=true&ca=a"] {
            assert_eq!(client(&format!("zk://a?{wrong}")).unwrap_err().kind(), ErrorKind::InvalidOption, "{wrong}");
        }
    }
}
