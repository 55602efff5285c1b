//! URLs that choose a backend: `scheme://user:password@host:port,host:port/path?option=value`.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::options::OptionReader;
use crate::{Error, ErrorKind, Result};

/// A host of a [`ServiceUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// The host name or IP address, without the brackets of IPv6.
    pub name: String,
    /// The port, if the URL names one.
    pub port: Option<u16>,
}

impl Host {
    /// `name:port`, with brackets around an IPv6 address, and with the port `default` if the URL names none.
    pub fn with_default_port(&self, default: u16) -> String {
        let port = self.port.unwrap_or(default);
        match self.name.contains(':') {
            true => format!("[{}]:{port}", self.name),
            false => format!("{}:{port}", self.name),
        }
    }
}

/// A parsed URL. Unlike a web URL it may name several hosts. `Debug` and `Display` show neither the password nor the
/// options.
///
/// ```
/// use tooz_core::ServiceUrl;
///
/// let url: ServiceUrl = "etcd://me:s3cret@a:2379,b:2379/prod?timeout=3s".parse()?;
/// assert_eq!(url.hosts().len(), 2);
/// assert_eq!(url.path(), "/prod");
/// assert_eq!(url.to_string(), "etcd://me:***@a:2379,b:2379/prod");
/// # Ok::<(), tooz_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    scheme: String,
    username: Option<String>,
    password: Option<String>,
    hosts: Vec<Host>,
    path: String,
    options: Vec<(String, String)>,
}

impl ServiceUrl {
    /// The scheme, in lowercase.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The decoded user name.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The decoded password. Do not print it in `Debug`, errors or logs.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The hosts, in the order of the URL; empty in `file:///dir`.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The decoded path with its leading slash; empty if the URL has none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A reader of the options in the query string.
    pub fn options(&self) -> OptionReader<'_> {
        OptionReader::new(&self.options)
    }

    /// The same URL with an option added at the end of the query string.
    #[must_use]
    pub fn with_option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }
}

impl std::str::FromStr for ServiceUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| invalid("a backend URL starts with a scheme, as in redis://localhost:6379"))?;
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return Err(invalid("the scheme of a backend URL consists of letters, digits, '+', '-' and '.'"));
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (userinfo, hosts) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        let (username, password) = match userinfo.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, password)) => (decode_non_empty(user)?, decode_non_empty(password)?),
            None => (None, None),
        };
        let hosts = hosts.split(',').filter(|host| !host.is_empty()).map(parse_host).collect::<Result<_>>()?;
        let options = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { scheme: scheme.to_ascii_lowercase(), username, password, hosts, path: decode(path)?, options })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if self.username.is_some() || self.password.is_some() {
            f.write_str(self.username.as_deref().unwrap_or_default())?;
            f.write_str(if self.password.is_some() { ":***@" } else { "@" })?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match (host.name.contains(':'), host.port) {
                (true, port) => write!(f, "[{}]{}", host.name, port.map(|p| format!(":{p}")).unwrap_or_default())?,
                (false, Some(port)) => write!(f, "{}:{port}", host.name)?,
                (false, None) => f.write_str(&host.name)?,
            }
        }
        f.write_str(&self.path)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidUrl, message)
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid("a percent-encoded part of the URL is not UTF-8 after decoding"))
}

fn decode_non_empty(text: &str) -> Result<Option<String>> {
    if text.is_empty() { Ok(None) } else { decode(text).map(Some) }
}

fn parse_host(text: &str) -> Result<Host> {
    let bracketed = text.strip_prefix('[').map(|inner| {
        inner
            .split_once(']')
            .ok_or_else(|| invalid(format!("the IPv6 address in \"{text}\" lacks its closing bracket")))
    });
    let (name, port) = match bracketed.transpose()? {
        Some((name, "")) => (name, None),
        Some((name, rest)) => (name, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    if name.contains(':') && !text.starts_with('[') {
        return Err(invalid(format!("write the IPv6 address in \"{text}\" in brackets, as in [::1]:6379")));
    }
    let port = port
        .map(|port| {
            port.parse().map_err(|_| invalid(format!("the port in \"{text}\" is not a number from 0 to 65535")))
        })
        .transpose()?;
    Ok(Host { name: decode(name)?, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServiceUrl> {
        text.parse()
    }

    #[test]
    fn parts_are_split_and_decoded() {
        let url = parse("redis://u%40x:p%2Fw@[::1]:7000,h2/3?timeout=2s&x=%20").unwrap();
        assert_eq!((url.username(), url.password()), (Some("u@x"), Some("p/w")));
        assert_eq!(url.hosts()[0], Host { name: "::1".into(), port: Some(7000) });
        assert_eq!(url.hosts()[0].with_default_port(1), "[::1]:7000");
        assert_eq!(url.hosts()[1].with_default_port(6379), "h2:6379");
        assert_eq!(url.path(), "/3");
    }

    #[test]
    fn a_password_never_shows() {
        let url = parse("redis://:s3cret@h?password=s3cret").unwrap();
        assert!(!format!("{url} {url:?}").contains("s3cret"));
    }

    #[test]
    fn a_file_url_has_no_host() {
        let url = parse("file:///var/lib/tooz").unwrap();
        assert!(url.hosts().is_empty());
        assert_eq!(url.path(), "/var/lib/tooz");
    }

    #[test]
    fn malformed_urls_say_what_is_wrong() {
        for text in ["localhost", "re dis://x", "redis://h:port", "redis://[::1", "redis://::1:6379", "redis://%ff"] {
            assert_eq!(parse(text).unwrap_err().kind(), ErrorKind::InvalidUrl, "{text}");
        }
    }
}
