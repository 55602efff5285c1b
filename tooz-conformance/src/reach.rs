//! How a trial, or a child process of one, reaches its backend.

use std::sync::Arc;
use std::time::Duration;

use tooz_core::driver::{Driver, DriverInfo, Session, SessionOptions};
use tooz_core::{Builder, Coordinator, DriverEntry, Name, Registry, ServiceUrl};

use crate::Failure;

/// A driver, a URL and a namespace. [`Context`](crate::Context) and
/// [`ChildContext`](crate::children::ChildContext) dereference to it.
#[derive(Clone, Debug)]
pub struct Reach {
    pub(crate) driver: DriverEntry,
    pub(crate) url: String,
    pub(crate) namespace: String,
    pub(crate) ttl: Duration,
}

impl Reach {
    /// The URL of the backend, without a namespace.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A namespace that no other trial uses.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The TTL that trials ask for.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The driver, for the URL of this context.
    ///
    /// # Errors
    /// The driver refuses the URL.
    pub fn driver(&self) -> Result<Arc<dyn Driver>, Failure> {
        Ok((self.driver.open)(&self.url.parse::<ServiceUrl>()?)?)
    }

    /// What the driver says of itself.
    ///
    /// # Errors
    /// The driver refuses the URL.
    pub fn info(&self) -> Result<DriverInfo, Failure> {
        Ok(self.driver()?.info())
    }

    /// Options for a session in this namespace: the harness's TTL, and requests of at most 2 s.
    ///
    /// # Errors
    /// The member's name is not valid.
    pub fn session_options(&self, member: &str) -> Result<SessionOptions, Failure> {
        let (namespace, member) = (self.namespace.clone(), Name::new(member)?);
        Ok(SessionOptions::new(namespace, member, self.ttl, Duration::from_secs(2)))
    }

    /// A session of the driver itself, without anything of core in between. Nothing renews it.
    ///
    /// # Errors
    /// The backend cannot be reached.
    pub async fn session(&self, member: &str) -> Result<Box<dyn Session>, Failure> {
        Ok(self.driver()?.open(&self.session_options(member)?).await?)
    }

    /// A coordinator that is about to connect, as `member`, in this namespace.
    pub fn builder(&self, member: &str) -> Builder {
        let registry = Registry::with([self.driver]);
        Coordinator::builder(&self.url).registry(registry).member(member).namespace(&self.namespace).ttl(self.ttl)
    }

    /// A coordinator, as `member`, in this namespace.
    ///
    /// # Errors
    /// The backend cannot be reached.
    pub async fn coordinator(&self, member: &str) -> Result<Coordinator, Failure> {
        Ok(self.builder(member).connect().await?)
    }
}
