//! The drivers to choose from: those that are linked into the program, or a list that the program gives.

use std::sync::Arc;

use crate::driver::{Driver, DriverEntry};
use crate::url::did_you_mean;
use crate::{Error, ErrorKind, Result, ServiceUrl};

/// The drivers among which the scheme of a URL chooses; see [`Builder::registry`](crate::Builder::registry).
///
/// ```
/// use tooz_core::{Registry, memory};
///
/// let registry = Registry::with([memory::DRIVER]);
/// assert!(registry.driver(&"memory://x".parse()?).is_ok());
/// let error = registry.driver(&"redis://h".parse()?).unwrap_err();
/// assert!(error.to_string().contains("cargo add tooz --features redis"));
/// # Ok::<(), tooz_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    entries: Vec<DriverEntry>,
}

/// The drivers of this project, each with the feature of `tooz` that adds it and its schemes, for the advice in
/// `NoDriverFound`.
const FEATURES: [(&str, &[&str]); 5] = [
    ("file", &["file"]),
    (
        "redis",
        &[
            "redis",
            "rediss",
            "redis-sentinel",
            "rediss-sentinel",
            "redis-cluster",
            "rediss-cluster",
            "valkey",
            "valkeys",
            "valkey-sentinel",
            "valkeys-sentinel",
            "valkey-cluster",
            "valkeys-cluster",
        ],
    ),
    ("etcd", &["etcd", "etcds", "etcd3+http", "etcd3+https"]),
    ("zookeeper", &["zookeeper", "zk", "kazoo"]),
    ("postgres", &["postgres", "postgresql"]),
];

impl Registry {
    /// The drivers that are linked into this program.
    ///
    /// The crate `tooz` links the drivers of its features. The linker drops a driver crate that is only listed in
    /// `Cargo.toml`: name it once, as in `use tooz_redis as _;`.
    pub fn linked() -> Self {
        Self::with(inventory::iter::<DriverEntry>().copied())
    }

    /// Exactly these drivers. A static library needs this, since the linker drops link-time registrations there.
    pub fn with(entries: impl IntoIterator<Item = DriverEntry>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    /// The schemes of all drivers, sorted.
    pub fn schemes(&self) -> Vec<&'static str> {
        let mut schemes: Vec<_> = self.entries.iter().flat_map(|entry| entry.schemes).copied().collect();
        schemes.sort_unstable();
        schemes
    }

    /// The driver that serves the scheme of `url`. Does no I/O.
    ///
    /// # Errors
    /// - `NoDriverFound`: no driver serves the scheme; the text says which crate to add.
    /// - `InvalidOption`: two drivers serve the scheme.
    /// - `InvalidUrl`, `InvalidOption`: the driver rejects the URL.
    pub fn driver(&self, url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
        let serving: Vec<_> = self.entries.iter().filter(|entry| entry.schemes.contains(&url.scheme())).collect();
        match serving.as_slice() {
            [entry] => (entry.open)(url).map_err(|error| error.with_context("url", url)),
            [] => Err(self.no_driver(url.scheme())),
            [first, second, ..] => Err(Error::new(
                ErrorKind::InvalidOption,
                format!(
                    "two drivers serve the scheme \"{}\": {} and {}; link one of them, or list the drivers with Registry::with",
                    url.scheme(),
                    first.name,
                    second.name
                ),
            )),
        }
    }

    fn no_driver(&self, scheme: &str) -> Error {
        let feature = FEATURES.iter().find(|(_, schemes)| schemes.contains(&scheme)).map(|(feature, _)| *feature);
        let known = FEATURES.iter().flat_map(|(_, schemes)| *schemes).copied().chain(self.schemes());
        let (suggestion, remedy) = match feature {
            Some("file") if !cfg!(target_os = "linux") => {
                (String::new(), "the file driver runs on Linux only".to_owned())
            }
            Some(feature) => (
                String::new(),
                format!(
                    "run `cargo add tooz --features {feature}`, or `cargo add tooz-{feature}` and write \
                     `use tooz_{feature} as _;` once in your program, since the linker drops a crate that is never named"
                ),
            ),
            None => (did_you_mean(scheme, known), "add the crate of the driver and name it once".to_owned()),
        };
        let linked = self.schemes().join(", ");
        let message =
            format!("no driver serves the scheme \"{scheme}\"{suggestion}; linked drivers serve {linked}; {remedy}");
        Error::new(ErrorKind::NoDriverFound, message)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::linked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;

    #[test]
    fn a_mistyped_scheme_finds_the_nearest_one() {
        let error = Registry::with([memory::DRIVER]).driver(&"zookeper://h".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("\"zookeper\" (did you mean \"zookeeper\"?)"), "{error}");
    }

    #[test]
    fn two_drivers_for_one_scheme_are_refused() {
        let other = DriverEntry { name: "other", ..memory::DRIVER };
        let error = Registry::with([memory::DRIVER, other]).driver(&"memory://x".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("memory and other"), "{error}");
    }
}
