//! From a URL to typed options: hosts, chroot, credentials, TLS.

use std::path::PathBuf;

use tooz_core::{Error, ErrorKind, OptionReader, Result, ServiceUrl};

const DEFAULT_PORT: u16 = 2181;

/// What a URL says.
#[derive(Clone)]
pub(crate) struct Config {
    /// `host:port` of each server.
    pub(crate) hosts: Vec<String>,
    /// Everything stands below this path; empty, or with a leading and without a trailing slash.
    pub(crate) chroot: String,
    /// `user:password` for digest authentication.
    pub(crate) digest: Option<String>,
    /// Whether sessions try the hosts in random order.
    #[cfg_attr(all(feature = "tls", not(test)), expect(dead_code, reason = "the client of `tls` has no other order"))]
    pub(crate) randomize: bool,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "read by the client of the feature `tls`"))]
    pub(crate) tls: Option<Tls>,
}

/// How a TLS connection is made. Without the feature `tls` nobody reads it, since such a URL is refused.
#[derive(Clone)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "read by the client of the feature `tls`"))]
pub(crate) struct Tls {
    pub(crate) ca: PathBuf,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
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
        let tls = tls(&options)?;
        options.finish()?;
        let digest = match (url.username(), url.password()) {
            (Some(user), Some(password)) => Some(format!("{user}:{password}")),
            (None, None) => None,
            _ => {
                return Err(Error::new(ErrorKind::InvalidUrl, "credentials are a user and a password: user:password@"));
            }
        };
        Ok(Self { hosts, chroot: chroot(url.path())?, digest, randomize, tls })
    }
}

/// Leaves out the password.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.hosts.join(","), self.chroot)
    }
}

/// The options that kazoo has for TLS.
fn tls(options: &OptionReader<'_>) -> Result<Option<Tls>> {
    let ca = options.get("ca")?;
    let (cert, key): (Option<PathBuf>, Option<PathBuf>) = (options.get("certfile")?, options.get("keyfile")?);
    let verify = options.get("verify_certs")?.unwrap_or(true);
    if !options.get("use_ssl")?.unwrap_or(false) {
        return Ok(None);
    }
    let unsupported = |message| Err(Error::new(ErrorKind::Unsupported, message));
    match ca {
        _ if !cfg!(feature = "tls") => {
            unsupported("option \"use_ssl\" needs the feature tls: cargo add tooz-zookeeper --features tls")
        }
        _ if !verify => {
            unsupported("option \"verify_certs\" must be true: anybody can pose as a server nobody verifies")
        }
        None => Err(Error::new(
            ErrorKind::InvalidOption,
            "with \"use_ssl\" the option \"ca\" must name a PEM file to trust",
        )),
        _ if cert.is_some() != key.is_some() => {
            Err(Error::new(ErrorKind::InvalidOption, "\"certfile\" and \"keyfile\" belong together"))
        }
        Some(ca) => Ok(Some(Tls { ca, identity: cert.zip(key) })),
    }
}

fn with_default_port(host: &str) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { host.to_owned() } else { format!("{host}:{DEFAULT_PORT}") }
}

fn chroot(path: &str) -> Result<String> {
    let path = path.trim_end_matches('/');
    let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    if path.split('/').skip(1).all(sound) {
        return Ok(path.to_owned());
    }
    Err(Error::new(ErrorKind::InvalidUrl, format!("\"{path}\" is not a path of znodes to keep everything below")))
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
        assert_eq!(config.hosts, ["a:1", "b:2181", "[::1]:2181"]);
        assert_eq!((&*config.chroot, config.digest.as_deref(), config.randomize), ("/x/y", Some("u:p@"), false));
        assert!(!format!("{config:?}").contains("p@"));
    }

    #[test]
    fn urls_of_python_tooz() {
        assert_eq!(config("kazoo://").unwrap().hosts, ["localhost:2181"]);
        assert_eq!(config("kazoo://a?hosts=b:7,c").unwrap().hosts, ["a:2181", "b:7", "c:2181"]);
        assert!(config("kazoo://a?connection_retry=3").unwrap_err().to_string().contains("randomize_hosts"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert_eq!(config("zk://u@a").unwrap_err().kind(), ErrorKind::InvalidUrl);
        assert_eq!(config("zk://a/x//y").unwrap_err().kind(), ErrorKind::InvalidUrl);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_options_are_checked() {
        for wrong in ["use_ssl=true", "use_ssl=true&ca=a&certfile=b", "use_ssl=true&ca=a&keyfile=b"] {
            assert_eq!(config(&format!("zk://a?{wrong}")).unwrap_err().kind(), ErrorKind::InvalidOption, "{wrong}");
        }
        assert!(config("zk://a?use_ssl=true&ca=a&certfile=b&keyfile=c").unwrap().tls.is_some());
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_names_the_feature() {
        let error = config("zk://a?use_ssl=true").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("features tls"), "{error}");
    }
}
