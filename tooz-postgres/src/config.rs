//! Reads a URL into typed options. The names and meanings are those of libpq.

use std::fmt;
use std::path::PathBuf;

use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tooz_core::driver::support::built_without_tls;
use tooz_core::{Error, ErrorKind, OptionReader, Result, ServiceUrl};

use crate::layout::password_of;

/// The options that the client crate reads by itself.
const PASSED_ON: &str = "application_name channel_binding connect_timeout hostaddr keepalives keepalives_idle \
                         keepalives_interval keepalives_retries load_balance_hosts options sslnegotiation tcp_user_timeout";

/// How far the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    Nothing,
    Authority,
    AuthorityAndHost,
}

/// Files in PEM format. Without `ca` the certificates of the system count.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "the options are read to be checked"))]
pub(crate) struct Tls {
    pub(crate) verify: Verify,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// The content of the URL.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) server: tokio_postgres::Config,
    /// `None` if the connection never uses TLS.
    pub(crate) tls: Option<Tls>,
    pub(crate) schema: String,
    /// Whether a session ends with its connection.
    pub(crate) by_connection: bool,
    /// For messages.
    pub(crate) address: String,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("address", &self.address).field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Config {
    pub(crate) fn from_url(url: &ServiceUrl) -> Result<Self> {
        let options = url.options();
        let mut server = passed_on(&options)?;
        let hosts = hosts(url, &options)?;
        for (host, port) in &hosts {
            server.host(host).port(*port);
        }
        let user: Option<String> = options.get("user")?;
        if let Some(user) = url.username().map(str::to_owned).or(user) {
            server.user(user);
        }
        let path = url.path().trim_start_matches('/');
        let database: Option<String> = options.get("dbname")?;
        if let Some(name) = (!path.is_empty()).then(|| path.to_owned()).or(database) {
            server.dbname(name);
        }
        let password: Option<String> = options.get("password")?;
        if let Some(password) = url.password().map(str::to_owned).or(password) {
            server.password(password);
        } else if let Some(file) = options.get::<PathBuf>("passfile")? {
            read_password(&mut server, &file, &hosts[0])?;
        }
        server.target_session_attrs(session_attrs(&options, hosts.len() > 1)?);
        let tls = read_tls(&options, &mut server)?;
        let config = Self {
            server,
            tls,
            schema: options.get("schema")?.unwrap_or_else(|| "tooz".to_owned()),
            by_connection: by_connection(&options)?,
            address: hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(","),
        };
        options.finish()?;
        Ok(config)
    }

    /// The schema, as SQL names it.
    pub(crate) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema.replace('"', "\"\""))
    }
}

fn passed_on(options: &OptionReader<'_>) -> Result<tokio_postgres::Config> {
    let mut text = String::new();
    for name in PASSED_ON.split(' ') {
        if let Some(value) = options.get::<String>(name)? {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            text.push_str(&format!("{name}='{value}' "));
        }
    }
    let unusable = |error: tokio_postgres::Error| invalid("an option of the URL cannot be used").with_source(error);
    text.parse().map_err(unusable)
}

/// The hosts of the URL or of the option `host`; a name that begins with a slash is the directory of a Unix socket.
fn hosts(url: &ServiceUrl, options: &OptionReader<'_>) -> Result<Vec<(String, u16)>> {
    let port = options.get::<u32>("port")?.unwrap_or(5432);
    let port = u16::try_from(port).map_err(|_| invalid("option \"port\" must be a number from 0 to 65535"))?;
    let named: Option<String> = options.get("host")?;
    match (named, url.hosts()) {
        (Some(_), [_, ..]) => Err(invalid("the URL names a host and the option \"host\" too; keep one of them")),
        (Some(names), []) => Ok(names.split(',').map(|name| (name.to_owned(), port)).collect()),
        (None, []) => Ok(vec![("localhost".to_owned(), port)]),
        (None, hosts) => Ok(hosts.iter().map(|host| (host.name.clone(), host.port.unwrap_or(port))).collect()),
    }
}

/// Of several hosts, the one that takes writes is meant.
fn session_attrs(options: &OptionReader<'_>, several: bool) -> Result<TargetSessionAttrs> {
    match options.get::<String>("target_session_attrs")?.as_deref() {
        None if several => Ok(TargetSessionAttrs::ReadWrite),
        None | Some("any") => Ok(TargetSessionAttrs::Any),
        Some("read-write" | "primary") => Ok(TargetSessionAttrs::ReadWrite),
        Some(_) => Err(invalid(
            "option \"target_session_attrs\" must be read-write, primary or any: a lock is kept where writes are taken",
        )),
    }
}

fn by_connection(options: &OptionReader<'_>) -> Result<bool> {
    match options.get::<String>("liveness")?.as_deref() {
        None | Some("ttl") => Ok(false),
        Some("connection") => Ok(true),
        Some(_) => Err(invalid("option \"liveness\" must be ttl or connection")),
    }
}

fn read_tls(options: &OptionReader<'_>, server: &mut tokio_postgres::Config) -> Result<Option<Tls>> {
    let mode: Option<String> = options.get("sslmode")?;
    let ca: Option<PathBuf> = options.get("sslrootcert")?;
    let (ssl_mode, verify) = match mode.as_deref() {
        Some("disable") => (SslMode::Disable, Verify::Nothing),
        None | Some("prefer") => (SslMode::Prefer, Verify::Nothing),
        // As in libpq, a root certificate asks for its use.
        Some("require") if ca.is_none() => (SslMode::Require, Verify::Nothing),
        Some("require" | "verify-ca") => (SslMode::Require, Verify::Authority),
        Some("verify-full") => (SslMode::Require, Verify::AuthorityAndHost),
        Some(_) => {
            return Err(invalid("option \"sslmode\" must be disable, prefer, require, verify-ca or verify-full"));
        }
    };
    if ssl_mode == SslMode::Require && !cfg!(feature = "tls") {
        return Err(built_without_tls("tooz-postgres"));
    }
    server.ssl_mode(ssl_mode);
    let ca = ca.filter(|path| path.as_os_str() != "system");
    let tls = Tls { verify, ca, certificate: options.get("sslcert")?, key: options.get("sslkey")? };
    Ok((ssl_mode != SslMode::Disable).then_some(tls))
}

fn read_password(server: &mut tokio_postgres::Config, file: &std::path::Path, host: &(String, u16)) -> Result<()> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        invalid(format!("failed to read {}, the file of option \"passfile\"", file.display())).with_source(error)
    })?;
    let user = server.get_user().unwrap_or_default().to_owned();
    let database = server.get_dbname().unwrap_or(&user).to_owned();
    if let Some(password) = password_of(&text, [&host.0, &host.1.to_string(), &database, &user]) {
        server.password(password);
    }
    Ok(())
}

pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
