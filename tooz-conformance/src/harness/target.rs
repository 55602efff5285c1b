//! Where a trial, or one of its child processes, connects to: a driver, a URL and a namespace.

use std::sync::Arc;
use std::time::Duration;

use tooz_core::driver::{Driver, DriverInfo, Session, SessionOptions};
use tooz_core::{Builder, Coordinator, DriverEntry, Name, Registry, ServiceUrl};

use super::Failure;

/// A driver, a URL and a namespace. [`Context`](crate::Context) and
/// [`ChildContext`](crate::children::ChildContext) dereference to it.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) driver: DriverEntry,
    pub(crate) url: String,
    pub(crate) namespace: String,
    pub(crate) ttl: Duration,
}

impl Target {
    /// The URL of the backend, without a namespace.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The namespace, which no other trial uses.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The TTL that sessions of the trial request.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Opens the driver with this URL.
    ///
    /// # Errors
    /// The driver refuses the URL.
    pub fn driver(&self) -> Result<Arc<dyn Driver>, Failure> {
        Ok((self.driver.open)(&self.url.parse::<ServiceUrl>()?)?)
    }

    /// The name and the capabilities that the driver reports.
    ///
    /// # Errors
    /// The driver refuses the URL.
    pub fn info(&self) -> Result<DriverInfo, Failure> {
        Ok(self.driver()?.info())
    }

    /// Options for a session in this namespace, with this TTL and a request timeout of 2 s.
    ///
    /// # Errors
    /// The member's name is not valid.
    pub fn session_options(&self, member: &str) -> Result<SessionOptions, Failure> {
        let (namespace, member) = (self.namespace.clone(), Name::new(member)?);
        Ok(SessionOptions::new(namespace, member, self.ttl, Duration::from_secs(2)))
    }

    /// Opens a session of the driver itself, without tooz-core in between. Nothing renews it.
    ///
    /// # Errors
    /// The backend cannot be reached.
    pub async fn session(&self, member: &str) -> Result<Box<dyn Session>, Failure> {
        Ok(self.driver()?.open(&self.session_options(member)?).await?)
    }

    /// A builder of a coordinator for `member` in this namespace.
    pub fn builder(&self, member: &str) -> Builder {
        let registry = Registry::with([self.driver]);
        Coordinator::builder(&self.url).registry(registry).member(member).namespace(&self.namespace).ttl(self.ttl)
    }

    /// Connects a coordinator for `member` in this namespace.
    ///
    /// # Errors
    /// The backend cannot be reached.
    pub async fn coordinator(&self, member: &str) -> Result<Coordinator, Failure> {
        Ok(self.builder(member).connect().await?)
    }
}
