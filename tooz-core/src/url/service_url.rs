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

/// A parsed URL. Unlike a web URL it may name several hosts. `Debug` and `Display` show neither the user name and the
/// password nor the options.
///
/// Each part may be percent-encoded, and these characters must be: `/`, `?` and `#` before the host, `@` after the host,
/// `?` in the path, `&` and `+` in the value of an option, and `#` everywhere.
///
/// ```
/// use tooz_core::ServiceUrl;
///
/// let url: ServiceUrl = "etcd://me:s3cret@a:2379,b:2379/prod?timeout=3s".parse()?;
/// assert_eq!(url.hosts().len(), 2);
/// assert_eq!(url.path(), "/prod");
/// assert_eq!(url.to_string(), "etcd://***@a:2379,b:2379/prod");
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

    /// The decoded user name and password, for a backend that needs both or neither.
    ///
    /// # Errors
    /// `InvalidUrl` if the URL has one of them only.
    pub fn credentials(&self) -> Result<Option<(&str, &str)>> {
        match (self.username(), self.password()) {
            (Some(user), Some(password)) => Ok(Some((user, password))),
            (None, None) => Ok(None),
            _ => {
                let message =
                    format!("credentials are a user name and a password: {}://user:password@host", self.scheme);
                Err(Error::new(ErrorKind::InvalidUrl, message))
            }
        }
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
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        check_encoding(authority, rest)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (userinfo, hosts) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        let (username, password) = match userinfo.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, password)) => (decode_non_empty(user)?, decode_non_empty(password)?),
            None => (None, None),
        };
        let hosts =
            hosts.split(',').filter(|host| !host.is_empty()).enumerate().map(parse_host).collect::<Result<_>>()?;
        let options = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { scheme: scheme.to_ascii_lowercase(), username, password, hosts, path: decode(path)?, options })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if self.username.is_some() || self.password.is_some() {
            f.write_str("***@")?;
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

/// Refuses a URL whose password may have been parsed as another part, so that no later error shows it.
fn check_encoding(authority: &str, rest: &str) -> Result<()> {
    if !authority.is_empty() && rest.contains('@') {
        return Err(invalid(
            "the URL has a '@' after its first '/', '?' or '#'; percent-encode '/' as %2F, '?' as %3F and '#' as %23 in \
             the password, and '@' as %40 in the path or an option",
        ));
    }
    if rest.contains('#') {
        return Err(invalid("a backend URL has no fragment; percent-encode '#' as %23"));
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    match query.split('&').all(|option| option.is_empty() || option.contains('=')) {
        true => Ok(()),
        false => Err(invalid("an option of the URL has the form name=value; percent-encode '?' and '&' elsewhere")),
    }
}

/// Parses one host. The errors show no part of it: it may be a password that was not percent-encoded.
fn parse_host((index, text): (usize, &str)) -> Result<Host> {
    let number = index + 1;
    let (name, port) = match text.strip_prefix('[').map(|inner| inner.split_once(']')) {
        None => text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
        Some(Some((name, ""))) => (name, None),
        Some(Some((name, rest))) => (name, Some(rest.strip_prefix(':').unwrap_or(rest))),
        Some(None) => {
            return Err(invalid(format!("the IPv6 address of host {number} in the URL lacks its closing bracket")));
        }
    };
    if name.contains(':') && !text.starts_with('[') {
        let message = format!("write the IPv6 address of host {number} in the URL in brackets, as in [::1]:6379");
        return Err(invalid(message));
    }
    let port = port.map(str::parse).transpose().map_err(|_| {
        let advice = "a password goes before '@', with '/', '?' and '#' percent-encoded as %2F, %3F and %23";
        invalid(format!("the port of host {number} in the URL is not a number from 0 to 65535; {advice}"))
    })?;
    Ok(Host { name: decode(name)?, port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Registry, memory};

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
    fn neither_user_nor_password_shows() {
        let url = parse("redis://user-1:s3cret@h?password=s3cret").unwrap();
        let shown = format!("{url} {url:?} {:?} {:?}", url.options(), crate::Coordinator::builder("redis://:s3cret@h"));
        assert!(!shown.contains("s3cret") && !shown.contains("user-1"), "{shown}");
    }

    #[test]
    fn a_password_with_an_unencoded_delimiter_was_printed_as_the_port() {
        for text in [
            "redis://app:s3cret/x@127.0.0.1:6379",
            "redis://app:s3cret#x@127.0.0.1:6379",
            "redis://app:s3cret?x@127.0.0.1:6379",
            "redis://:s3cret?x@h",
            "redis://app:12/s3cret@h",
            "redis://app:12#s3cret@h",
            "redis://app:12?s3cret@h",
            "redis://app:s3@cret/s3cret@h",
            "redis://s3cret/x@h",
            "redis://app:s3cret",
            "redis://app:12?s3cret",
            "redis://h,app:s3cret",
            "redis://app:[s3cret:x",
            "redis://[s3cret",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{text}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
            assert!(!text.contains('@') || error.to_string().contains("percent-encode"), "{text}: {error}");
        }
    }

    #[test]
    fn an_at_sign_is_a_character_where_no_host_precedes_it() {
        assert_eq!(parse("file:///home/a@b/tooz").unwrap().path(), "/home/a@b/tooz");
        let url = parse("redis://h/a%40b?member=me%40host").unwrap();
        assert_eq!((url.path(), url.options().get("member").unwrap()), ("/a@b", Some("me@host".to_owned())));
    }

    proptest! {
        #[test]
        fn no_mangled_url_shows_a_part_of_its_password(
            scheme in "redis|memory|memory:|me mory|", separator in "://|:/|:",
            user in "|user-1|u:|u%zz", first in "[a-z][A-Z0-9]{6}", delimiter in "[/?#:;,%&= \\[\\]]|@|%2F|%zz",
            second in "[a-z][A-Z0-9]{6}", with_host in any::<bool>(), hosts in "h|h:1|h:1,h:x|\\[::1|\\[::1\\]:1|::1|",
            tail in "|/|/0|/0\\?ttl=x|\\?timout=1s|\\?ttl|#x|/%ff",
        ) {
            let hosts = if with_host { format!("@{hosts}") } else { String::new() };
            // Without a host, what follows the last '@' is one.
            prop_assume!(with_host || delimiter != "@");
            let text = format!("{scheme}{separator}{user}:{first}{delimiter}{second}{hosts}{tail}");
            let registry = Registry::with([memory::DRIVER]);
            let shown = match text.parse::<ServiceUrl>() {
                Ok(url) => format!("{url} {url:?} {:?} {:?}", url.options().finish(), registry.driver(&url).err()),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains(&first) && !shown.contains(&second), "{text}: {shown}");
        }

        #[test]
        fn any_text_is_a_url_or_an_error(text in "[a-z+]{0,6}(://)?[a-z0-9:/?#@,=&%\\[\\]é ]{0,40}|\\PC{0,60}") {
            if let Ok(url) = text.parse::<ServiceUrl>() {
                let _ = (url.options().get::<String>("a"), url.options().finish(), url.to_string());
                url.hosts().iter().for_each(|host| assert!(host.with_default_port(1).contains(':')));
            }
        }
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
