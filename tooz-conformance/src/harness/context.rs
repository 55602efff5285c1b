//! What a trial is given: a backend, a namespace of its own, and tools that disturb the backend.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::driver_under_test::DriverUnderTest;
use super::running_backend::RunningBackend;
use super::target::Target;
use super::{Failure, Needs};
use crate::children::{Assignment, Child};
use crate::proxy::{Proxies, Proxy};
use crate::servers::{Deployment, Statistics};

/// What a trial is given. Clones share the backend and the namespace.
#[derive(Clone, Debug)]
pub struct Context {
    subject: Arc<DriverUnderTest>,
    backend: Arc<RunningBackend>,
    target: Target,
}

impl Deref for Context {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

impl Context {
    pub(crate) fn new(subject: Arc<DriverUnderTest>, backend: Arc<RunningBackend>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // The time is part of the name because a backend behind a URL may remember an earlier run with the same pid.
        let namespace = format!("t{since:x}-{:x}-{count}", std::process::id());
        let target = Target { driver: subject.driver, url: backend.url.clone(), namespace, ttl: subject.ttl };
        Self { subject, backend, target }
    }

    /// A context with another URL, in the same namespace.
    #[must_use]
    pub fn at(&self, url: impl Into<String>) -> Self {
        let target = Target { url: url.into(), ..self.target.clone() };
        Self { target, ..self.clone() }
    }

    /// A context whose sessions request another TTL, in the same namespace.
    #[must_use]
    pub fn with_ttl(&self, ttl: Duration) -> Self {
        let target = Target { ttl, ..self.target.clone() };
        Self { target, ..self.clone() }
    }

    /// A context with another unique namespace, on the same backend.
    #[must_use]
    pub fn in_another_namespace(&self) -> Self {
        let url = self.target.url.clone();
        Self::new(self.subject.clone(), self.backend.clone()).at(url)
    }

    /// The servers, for a trial that disturbs them.
    ///
    /// # Errors
    /// The trial did not ask for [`Needs::OWN_SERVER`].
    pub fn server(&self) -> Result<&Deployment, Failure> {
        let deployment = self.backend.deployment.as_ref().filter(|_| self.backend.exclusive);
        deployment.ok_or_else(|| Failure::new("the trial has no server of its own: it must ask for Needs::OWN_SERVER"))
    }

    /// Whether the servers may lose notifications while their connections continue.
    pub(crate) fn may_lose_notifications(&self) -> bool {
        self.backend.deployment.as_ref().is_some_and(Deployment::may_lose_notifications)
    }

    /// What the servers have done since they started; `None` if they or their product do not tell.
    pub(crate) async fn statistics(&self) -> Result<Option<Statistics>, Failure> {
        match &self.backend.deployment {
            Some(deployment) => Ok(deployment.statistics().await?),
            None => Ok(None),
        }
    }

    /// Whether other processes can reach the same backend.
    pub(crate) fn has_processes(&self) -> bool {
        self.subject.missing(Needs::PROCESSES).is_none()
    }

    /// A context that reaches the same backend through one fault proxy for each address. `self` stays direct.
    ///
    /// # Errors
    /// The trial is ignored where the suite did not start the server.
    pub async fn proxied(&self) -> Result<(Self, Proxies), Failure> {
        let deployment =
            self.backend.deployment.as_ref().ok_or_else(|| Failure::ignored("the suite started no server"))?;
        let mut proxies = Vec::new();
        for address in deployment.addresses() {
            proxies.push(Proxy::start(address).await?);
        }
        let addresses: Vec<_> = proxies.iter().map(Proxy::address).collect();
        let url = self.subject.url_of(&addresses)?;
        Ok((self.at(url), Proxies::new(proxies)))
    }

    /// A context whose URL leads to a port without a server.
    ///
    /// # Errors
    /// The trial is ignored where the backend has no server.
    pub fn without_server(&self) -> Result<Self, Failure> {
        Ok(self.at(self.subject.url_without_server()?))
    }

    /// Starts another process that plays `role` in the same namespace; see [`children`](crate::children).
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn spawn(&self, role: &str, args: &impl Serialize) -> Result<Child, Failure> {
        Child::spawn(self.assignment(role, args)?)
    }

    /// As [`spawn`](Self::spawn), for a process whose host can be [suspended](Child::suspend).
    ///
    /// # Errors
    /// The process cannot be started. The trial is ignored where none can be suspended.
    pub fn spawn_suspendable(&self, role: &str, args: &impl Serialize) -> Result<Child, Failure> {
        Child::spawn_suspendable(self.assignment(role, args)?)
    }

    fn assignment(&self, role: &str, args: &impl Serialize) -> Result<Assignment, Failure> {
        let args = serde_json::to_value(args)?;
        let Target { url, namespace, ttl, .. } = self.target.clone();
        Ok(Assignment { role: role.to_owned(), url, namespace, ttl, args })
    }
}
