//! The backend that a trial runs on: shared by all, or its own.

use std::env;

use tempfile::TempDir;

use crate::Failure;
use crate::harness::{Backend, Harness};
use crate::servers::{Deployment, DeploymentSpec, Means, free_ports};

/// A backend that can be reached.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) deployment: Option<Deployment>,
    /// Whether it may be harmed: one trial has it to itself.
    pub(crate) own: bool,
    /// Removed with the target.
    _directory: Option<TempDir>,
}

impl Target {
    /// Starts, or finds, the backend of `harness`; `own` says that one trial has it to itself.
    pub(crate) async fn start(harness: &Harness, own: bool) -> Result<Self, Failure> {
        match &harness.backend {
            Backend::Local { url, .. } => {
                let directory = tempfile::Builder::new().prefix("tooz-test-").tempdir()?;
                let url = with_options(&url(directory.path()), &harness.options);
                Ok(Self { url, deployment: None, own, _directory: Some(directory) })
            }
            Backend::Servers { spec, .. } => match env::var(harness.url_variable()) {
                Ok(url) => {
                    Ok(Self { url: with_options(&url, &harness.options), deployment: None, own, _directory: None })
                }
                Err(_) => Self::deploy(harness, spec, own).await,
            },
        }
    }

    async fn deploy(harness: &Harness, spec: &DeploymentSpec, own: bool) -> Result<Self, Failure> {
        let deployment = Deployment::start(spec).await?;
        let url = url_of(harness, &deployment.addresses())?;
        Ok(Self { url, deployment: Some(deployment), own, _directory: None })
    }

    /// By which means it runs, and the version of the product, for people.
    pub(crate) fn means(&self, harness: &Harness) -> (String, String) {
        match (&self.deployment, &harness.backend) {
            (Some(deployment), _) => (deployment.means().to_string(), deployment.version().to_owned()),
            (None, Backend::Servers { .. }) => (Means::Url(harness.url_variable()).to_string(), "unknown".to_owned()),
            (None, Backend::Local { .. }) => {
                ("itself, without a server".to_owned(), env!("CARGO_PKG_VERSION").to_owned())
            }
        }
    }

    pub(crate) async fn remove(&self) -> Result<(), Failure> {
        match &self.deployment {
            Some(deployment) => Ok(deployment.remove().await?),
            None => Ok(()),
        }
    }
}

/// A URL of the harness's kind that leads to `addresses`.
pub(crate) fn url_of(harness: &Harness, addresses: &[String]) -> Result<String, Failure> {
    match &harness.backend {
        Backend::Servers { url, .. } => Ok(with_options(&url(addresses), &harness.options)),
        Backend::Local { .. } => Err(Failure::ignored(format!("{} has no server", harness.name))),
    }
}

/// A URL of the harness's kind where nobody listens.
pub(crate) fn url_of_nobody(harness: &Harness) -> Result<String, Failure> {
    url_of(harness, &[format!("127.0.0.1:{}", free_ports(1)?[0])])
}

fn with_options(url: &str, options: &[(String, String)]) -> String {
    let mut url = url.to_owned();
    for (name, value) in options {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{name}={value}"));
    }
    url
}
