//! What a trial is given: a backend, a namespace of its own, and the means to do harm.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::backend::{Target, url_of, url_of_nobody};
use crate::children::{Child, Orders};
use crate::harness::{Backend, Harness};
use crate::proxy::{Proxies, Proxy};
use crate::reach::Reach;
use crate::servers::Deployment;
use crate::{Failure, Needs};

/// What a trial is given. Clones lead to the same backend and namespace.
#[derive(Clone, Debug)]
pub struct Context {
    harness: Arc<Harness>,
    target: Arc<Target>,
    reach: Reach,
}

impl Deref for Context {
    type Target = Reach;

    fn deref(&self) -> &Reach {
        &self.reach
    }
}

impl Context {
    pub(crate) fn new(harness: Arc<Harness>, target: Arc<Target>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // The time, since a backend behind a URL may remember earlier runs with the same process id.
        let namespace = format!("t{since:x}-{:x}-{count}", std::process::id());
        let reach = Reach { driver: harness.driver, url: target.url.clone(), namespace, ttl: harness.ttl };
        Self { harness, target, reach }
    }

    /// A context with another URL, in the same namespace.
    #[must_use]
    pub fn at(&self, url: impl Into<String>) -> Self {
        let reach = Reach { url: url.into(), ..self.reach.clone() };
        Self { reach, ..self.clone() }
    }

    /// A context whose sessions ask for another TTL, in the same namespace.
    #[must_use]
    pub fn with_ttl(&self, ttl: Duration) -> Self {
        let reach = Reach { ttl, ..self.reach.clone() };
        Self { reach, ..self.clone() }
    }

    /// A context with another namespace that no other trial uses, on the same backend.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        let url = self.reach.url.clone();
        Self::new(self.harness.clone(), self.target.clone()).at(url)
    }

    /// The servers, to be harmed. Only in a trial that needs a server of its own.
    ///
    /// # Errors
    /// The trial did not say that it needs one.
    pub fn server(&self) -> Result<&Deployment, Failure> {
        let deployment = self.target.deployment.as_ref().filter(|_| self.target.own);
        deployment.ok_or_else(|| Failure::new("the trial has no server of its own: it must ask for Needs::OWN_SERVER"))
    }

    /// Whether other processes reach the same backend.
    pub(crate) fn has_processes(&self) -> bool {
        missing(&self.harness, Needs::PROCESSES).is_none()
    }

    /// A context that reaches the same backend through a fault proxy for each address. This one stays direct.
    ///
    /// # Errors
    /// The trial is ignored where servers tell clients each other's addresses.
    pub async fn proxied(&self) -> Result<(Self, Proxies), Failure> {
        let deployment =
            self.target.deployment.as_ref().ok_or_else(|| Failure::ignored("there is no server of ours"))?;
        let mut proxies = Vec::new();
        for address in deployment.addresses() {
            proxies.push(Proxy::start(address).await?);
        }
        let addresses: Vec<_> = proxies.iter().map(Proxy::address).collect();
        let url = url_of(&self.harness, &addresses)?;
        Ok((self.at(url), Proxies::new(proxies)))
    }

    /// A context whose URL leads to a port where nobody listens.
    ///
    /// # Errors
    /// The trial is ignored where there is no server.
    pub fn nowhere(&self) -> Result<Self, Failure> {
        Ok(self.at(url_of_nobody(&self.harness)?))
    }

    /// Starts another process that plays `role` in the same namespace; see [`children`](crate::children).
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn spawn(&self, role: &str, args: &impl Serialize) -> Result<Child, Failure> {
        let args = serde_json::to_value(args)?;
        let Reach { url, namespace, ttl, .. } = self.reach.clone();
        Child::spawn(Orders { role: role.to_owned(), url, namespace, ttl, args })
    }
}

/// Why `harness` cannot give what a trial needs, if so.
pub(crate) fn missing(harness: &Harness, needs: Needs) -> Option<String> {
    let name = &harness.name;
    match &harness.backend {
        Backend::Local { .. } if needs.own_server || needs.proxy => Some(format!("{name} has no server")),
        Backend::Local { processes: false, .. } if needs.processes => Some(format!("{name} lives in one process")),
        Backend::Local { .. } => None,
        Backend::Servers { spec, .. } => {
            let variable = harness.url_variable();
            if (needs.own_server || needs.proxy) && std::env::var_os(&variable).is_some() {
                return Some(format!("the server that {variable} names is not ours to harm"));
            }
            let passed_by = needs.proxy && spec.advertises;
            passed_by.then(|| "the servers tell clients each other's addresses, past a proxy".to_owned())
        }
    }
}
