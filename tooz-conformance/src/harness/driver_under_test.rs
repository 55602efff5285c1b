//! Which driver is tested, and what its URLs lead to.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tooz_core::DriverEntry;

use super::{Failure, Needs};
use crate::servers::{DeploymentSpec, free_ports};

/// Makes a URL of the addresses of a backend.
pub type UrlOf = dyn Fn(&[String]) -> String + Send + Sync;

/// The driver, its backend, and how its sessions are opened.
pub(crate) struct DriverUnderTest {
    pub(crate) name: String,
    pub(crate) driver: DriverEntry,
    pub(crate) backend: Backend,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) ttl: Duration,
}

/// What the driver's URL leads to.
pub(crate) enum Backend {
    /// Servers; the URL is made of their addresses.
    Servers { spec: Box<DeploymentSpec>, url: Arc<UrlOf> },
    /// No server, but a fresh directory. `processes` says whether several processes can share it.
    Local { url: Box<dyn Fn(&Path) -> String + Send + Sync>, processes: bool },
}

impl DriverUnderTest {
    /// The environment variable that names a server that runs already: `TOOZ_TEST_<NAME>_URL`.
    pub(crate) fn url_variable(&self) -> String {
        format!("TOOZ_TEST_{}_URL", self.name.to_uppercase().replace('-', "_"))
    }

    /// A URL that leads to servers at `addresses`.
    pub(crate) fn url_of(&self, addresses: &[String]) -> Result<String, Failure> {
        match &self.backend {
            Backend::Servers { url, .. } => Ok(self.with_options(&url(addresses))),
            Backend::Local { .. } => Err(Failure::ignored(format!("{} has no server", self.name))),
        }
    }

    /// A URL that leads to a port without a server.
    pub(crate) fn url_without_server(&self) -> Result<String, Failure> {
        self.url_of(&[format!("127.0.0.1:{}", free_ports(1)?[0])])
    }

    /// Adds the options of the harness to the query string of `url`.
    pub(crate) fn with_options(&self, url: &str) -> String {
        let mut url = url.to_owned();
        for (name, value) in &self.options {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={value}"));
        }
        url
    }

    /// Why this backend cannot give what a trial needs, if it cannot.
    pub(crate) fn missing(&self, needs: Needs) -> Option<String> {
        let name = &self.name;
        match &self.backend {
            Backend::Local { .. } if needs.own_server || needs.proxy => Some(format!("{name} has no server")),
            Backend::Local { processes: false, .. } if needs.processes => {
                Some(format!("{name} cannot be shared by several processes"))
            }
            Backend::Local { .. } => None,
            Backend::Servers { spec, .. } => {
                let variable = self.url_variable();
                if (needs.own_server || needs.proxy) && std::env::var_os(&variable).is_some() {
                    return Some(format!("the suite must not disturb the server that {variable} names"));
                }
                let bypassed = needs.proxy && spec.advertises;
                bypassed.then(|| "the servers advertise their addresses, so clients would bypass a proxy".to_owned())
            }
        }
    }
}

impl fmt::Debug for DriverUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverUnderTest")
            .field("name", &self.name)
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}
