//! The description of a test run: the driver, its backend, and the driver's own trials.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tooz_core::DriverEntry;

use super::driver_under_test::{Backend, DriverUnderTest};
use super::{Context, Failure, Needs, Trial};
use crate::children::{ChildContext, Role};
use crate::servers::DeploymentSpec;
use crate::trials::{scale_by_changes, scale_by_listings};

/// Everything that [`main`](crate::main) needs to test a driver.
pub struct Harness {
    pub(crate) subject: DriverUnderTest,
    /// Trials beside those that every driver must pass.
    pub(crate) own_trials: Vec<Trial>,
    pub(crate) with_suite: bool,
    pub(crate) roles: Vec<Role>,
    /// Trials that are shown as ignored, each with the reason.
    pub(crate) ignored: Vec<(String, String)>,
}

impl Harness {
    /// Tests a driver against servers.
    ///
    /// `name` is lowercase and says what is tested, such as `redis` or `redis-sentinel`. `url` makes a URL of the
    /// servers' addresses (`127.0.0.1:port`). `TOOZ_TEST_<NAME>_URL` names a server that runs already; trials that
    /// would disturb it are then ignored.
    pub fn new(
        name: impl Into<String>,
        driver: DriverEntry,
        spec: DeploymentSpec,
        url: impl Fn(&[String]) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::with(name, driver, Backend::Servers { spec: Box::new(spec), url: Arc::new(url) })
    }

    /// Tests a driver that needs no server but a directory, which the processes of one host can share.
    pub fn in_directory(
        name: impl Into<String>,
        driver: DriverEntry,
        url: impl Fn(&Path) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::with(name, driver, Backend::Local { url: Box::new(url), processes: true })
    }

    /// Tests a driver whose backend lives inside one process. `url` makes a URL of a unique word.
    pub fn in_process(
        name: impl Into<String>,
        driver: DriverEntry,
        url: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let url = move |path: &Path| url(&path.file_name().unwrap_or_default().to_string_lossy());
        Self::with(name, driver, Backend::Local { url: Box::new(url), processes: false })
    }

    fn with(name: impl Into<String>, driver: DriverEntry, backend: Backend) -> Self {
        let (name, options, ttl) = (name.into(), Vec::new(), Duration::from_secs(3));
        Self {
            subject: DriverUnderTest { name, driver, backend, options, ttl },
            own_trials: Vec::new(),
            with_suite: true,
            roles: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// Adds an option to the query string of every URL.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.subject.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the TTL of sessions in trials, 3 s by default. Choose the shortest TTL that the backend keeps reliably.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.subject.ttl = ttl;
        self
    }

    /// Adds a trial that only this driver has.
    #[must_use]
    pub fn trial<F>(mut self, name: &str, needs: Needs, run: impl Fn(Context) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.own_trials.push(Trial::new(name, needs, run));
        self
    }

    /// Adds the trials `scale::*`, for a driver that [follows](tooz_core::driver::Session::follow) rosters by their changes.
    /// They count requests by the [`Statistics`](crate::servers::Statistics) of one server.
    #[must_use]
    pub fn with_scale_trials(mut self) -> Self {
        self.own_trials.extend(scale_by_changes());
        self
    }

    /// Adds the trials `scale::*`, for a driver whose watchers list the names of all entries after a change, and read only the
    /// entries that are new.
    #[must_use]
    pub fn with_scale_trials_by_listings(mut self) -> Self {
        self.own_trials.extend(scale_by_listings());
        self
    }

    /// Leaves out the trials that every driver must pass and runs only those added by [`trial`](Self::trial).
    #[must_use]
    pub fn only_own(mut self) -> Self {
        self.with_suite = false;
        self
    }

    /// Adds a role that a [child process](Context::spawn) can play.
    #[must_use]
    pub fn role<F>(mut self, name: &'static str, run: impl Fn(ChildContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.roles.push(Role::new(name, run));
        self
    }

    /// Shows a trial as ignored, because of something that the product itself cannot do. The run prints the reason;
    /// the driver's documentation should give it too.
    #[must_use]
    pub fn ignore(mut self, trial: &str, reason: &str) -> Self {
        self.ignored.push((trial.to_owned(), reason.to_owned()));
        self
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("subject", &self.subject).finish_non_exhaustive()
    }
}
