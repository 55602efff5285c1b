//! The backend that a trial runs on: shared by all trials, or started for one of them.

use std::env;

use tempfile::TempDir;

use super::Failure;
use super::driver_under_test::{Backend, DriverUnderTest};
use crate::servers::{Deployment, DeploymentSpec, Provision};

/// A backend that clients can connect to.
#[derive(Debug)]
pub(crate) struct RunningBackend {
    pub(crate) url: String,
    pub(crate) deployment: Option<Deployment>,
    /// Whether one trial has it to itself and may therefore disturb it.
    pub(crate) exclusive: bool,
    /// Removed with the backend.
    _directory: Option<TempDir>,
}

impl RunningBackend {
    /// Starts, or finds, the backend of `subject`; `exclusive` says that one trial has it to itself.
    pub(crate) async fn start(subject: &DriverUnderTest, exclusive: bool) -> Result<Self, Failure> {
        match &subject.backend {
            Backend::Local { url, .. } => {
                let directory = tempfile::Builder::new().prefix("tooz-test-").tempdir()?;
                let url = subject.with_options(&url(directory.path()));
                Ok(Self { url, deployment: None, exclusive, _directory: Some(directory) })
            }
            Backend::Servers { spec, .. } => match env::var(subject.url_variable()) {
                Ok(url) => Ok(Self { url: subject.with_options(&url), deployment: None, exclusive, _directory: None }),
                Err(_) => Self::deploy(subject, spec, exclusive).await,
            },
        }
    }

    async fn deploy(subject: &DriverUnderTest, spec: &DeploymentSpec, exclusive: bool) -> Result<Self, Failure> {
        let deployment = Deployment::start(spec).await?;
        let url = subject.url_of(&deployment.addresses())?;
        Ok(Self { url, deployment: Some(deployment), exclusive, _directory: None })
    }

    /// How the backend is provided and the version of the product, as text.
    pub(crate) fn provision(&self, subject: &DriverUnderTest) -> (String, String) {
        match (&self.deployment, &subject.backend) {
            (Some(deployment), _) => (deployment.provision().to_string(), deployment.version().to_owned()),
            (None, Backend::Servers { .. }) => {
                (Provision::Url(subject.url_variable()).to_string(), "unknown".to_owned())
            }
            (None, Backend::Local { .. }) => ("no server".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        }
    }

    pub(crate) async fn remove(&self) -> Result<(), Failure> {
        match &self.deployment {
            Some(deployment) => Ok(deployment.remove().await?),
            None => Ok(()),
        }
    }
}
