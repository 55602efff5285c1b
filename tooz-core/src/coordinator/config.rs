//! Connecting as a configuration file says.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::builder::Builder;
use super::handle::Coordinator;
use crate::{Result, ServiceUrl};

/// A URL and its options as serde reads them from a file, for example in TOML, YAML or JSON.
///
/// Each field but `url` is an option, with the name and the meaning that it has in a URL: `member`, `namespace`, `ttl`,
/// `heartbeat`, `timeout`, `max_value_size` and those of the driver. `connect` refuses an option that is unknown or is
/// also in the URL. An option such as a password need not be percent-encoded here. `Debug` shows no password.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = r#"{"url": "memory://config-doc", "member": "host-a", "ttl": "5s", "timeout": 2}"#;
/// let config: tooz_core::Config = serde_json::from_str(text)?;
/// let coordinator = config.connect().await?;
/// assert_eq!(*coordinator.member(), "host-a");
/// # coordinator.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Deserialize)]
pub struct Config {
    url: String,
    #[serde(flatten)]
    options: BTreeMap<String, OptionText>,
}

/// The value of an option, as the URL would have it.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum OptionText {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl fmt::Display for OptionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

impl Config {
    /// The options for connecting, to which the program may add its own.
    pub fn builder(&self) -> Builder {
        let builder = Coordinator::builder(&self.url);
        self.options.iter().fold(builder, |builder, (name, value)| builder.option(name, value.to_string()))
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn connect(&self) -> Result<Coordinator> {
        self.builder().connect().await
    }
}

impl From<Config> for Builder {
    fn from(config: Config) -> Self {
        config.builder()
    }
}

impl From<&Config> for Builder {
    fn from(config: &Config) -> Self {
        config.builder()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.parse::<ServiceUrl>();
        let names: Vec<_> = self.options.keys().collect();
        f.debug_struct("Config").field("url", &url).field("options", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn read(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn debug_shows_no_password() {
        let config = read(r#"{"url": "memory://:s3cret@h", "password": "t0psecret"}"#);
        let shown = format!("{config:?}");
        assert!(shown.contains("password") && !shown.contains("s3cret") && !shown.contains("t0psecret"), "{shown}");
    }

    #[tokio::test]
    async fn wrong_options_are_refused_when_it_connects() {
        for (text, word) in [
            (r#"{"url": "memory://config", "ttll": "5s"}"#, "did you mean"),
            (r#"{"url": "memory://config?ttl=1s", "ttl": "5s"}"#, "more than once"),
            (r#"{"url": "memory://config", "ttl": true}"#, "ttl"),
        ] {
            let error = read(text).connect().await.unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidOption && error.to_string().contains(word), "{error}");
        }
        assert!(serde_json::from_str::<Config>(r#"{"ttl": "5s"}"#).is_err());
    }
}
