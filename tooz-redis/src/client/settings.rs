//! How the connections of a client are made: the options of the URL in terms of fred.

use std::fmt::Write;
use std::time::Duration;

use fred::error::Error as FredError;
#[cfg(feature = "tls")]
use fred::error::ErrorKind as FredKind;
use fred::socket2::TcpKeepalive;
use fred::types::RespVersion;
use fred::types::config::{
    Config as FredConfig, ConnectionConfig, PerformanceConfig, Server, ServerConfig, TcpConfig, UnresponsiveConfig,
};
use tooz_core::Result;

#[cfg(feature = "tls")]
use super::tls;
use crate::config::{Config, Topology};

/// Whether URLs may ask for TLS.
pub(crate) const SUPPORTS_TLS: bool = cfg!(feature = "tls");

/// Whether a TLS handshake failed.
pub(crate) fn is_tls_failure(error: &FredError) -> bool {
    match error.kind() {
        #[cfg(feature = "tls")]
        FredKind::Tls => true,
        _ => false,
    }
}

/// The settings of each connection of a client.
pub(super) struct Settings {
    pub(super) config: FredConfig,
    pub(super) performance: PerformanceConfig,
    pub(super) connection: ConnectionConfig,
}

impl Settings {
    pub(super) fn new(config: &Config, timeout: Duration) -> Result<Self> {
        let fred = FredConfig {
            fail_fast: true,
            username: config.login.username.as_deref().map(quoted),
            password: config.login.password.as_deref().map(quoted),
            server: server(config)?,
            version: RespVersion::RESP3,
            database: config.database,
            #[cfg(feature = "tls")]
            tls: config.tls.as_ref().map(tls::connector).transpose()?,
            ..Default::default()
        };
        let performance = PerformanceConfig { default_command_timeout: timeout, ..Default::default() };
        let keepalive = config.keepalive.then(|| TcpKeepalive::new().with_time(Duration::from_secs(15)));
        let connection = ConnectionConfig {
            connection_timeout: config.connect_timeout.map_or(timeout, |own| own.min(timeout)),
            internal_command_timeout: timeout,
            // A repeated command may run twice. The caller decides.
            max_command_attempts: 1,
            unresponsive: UnresponsiveConfig { max_timeout: Some(timeout), interval: timeout / 4 },
            tcp: TcpConfig { nodelay: Some(true), keepalive, ..Default::default() },
            ..Default::default()
        };
        Ok(Self { config: fred, performance, connection })
    }
}

fn server(config: &Config) -> Result<ServerConfig> {
    Ok(match &config.topology {
        Topology::Single(host, port) => ServerConfig::new_centralized(host.clone(), *port),
        #[cfg(unix)]
        Topology::Unix(path) => ServerConfig::new_unix_socket(path),
        #[cfg(not(unix))]
        Topology::Unix(_) => {
            let message = "this system has no Unix sockets; name a host, as in redis://localhost:6379";
            return Err(tooz_core::Error::new(tooz_core::ErrorKind::Unsupported, message));
        }
        Topology::Cluster(hosts) => ServerConfig::new_clustered(hosts.clone()),
        Topology::Sentinel { hosts, service } => ServerConfig::Sentinel {
            hosts: hosts.iter().map(|(host, port)| Server::new(host.as_str(), *port)).collect(),
            service_name: service.clone(),
            // fred sends these with AUTH, which takes them as they are.
            username: config.sentinel_login.username.clone(),
            password: config.sentinel_login.password.clone(),
        },
    })
}

/// A user name or password as an argument of an inline command.
///
/// fred logs in with HELLO as an inline command, which the server splits at spaces and unquotes. In double quotes the
/// server reads `\xHH` as the byte with that number.
fn quoted(credential: &str) -> String {
    if !credential.is_empty() && credential.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return credential.to_owned();
    }
    let mut text = String::from('"');
    for byte in credential.bytes() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_word_of_an_inline_command() {
        assert_eq!(quoted("S3cret"), "S3cret");
        assert_eq!(quoted("a \"\t"), r#""\x61\x20\x22\x09""#);
        assert_eq!(quoted(""), "\"\"");
    }
}
