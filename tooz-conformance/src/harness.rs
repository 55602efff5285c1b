//! What a driver's test file says: which driver, which backend, and its own trials.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tooz_core::DriverEntry;

use crate::children::{ChildContext, Role};
use crate::servers::DeploymentSpec;
use crate::{Context, Failure, Needs, Trial, trials};

/// Makes a URL of the addresses of a backend.
pub type UrlOf = dyn Fn(&[String]) -> String + Send + Sync;

/// Everything that [`main`](crate::main) needs to try a driver.
pub struct Harness {
    pub(crate) name: String,
    pub(crate) driver: DriverEntry,
    pub(crate) backend: Backend,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) ttl: Duration,
    pub(crate) trials: Vec<Trial>,
    pub(crate) roles: Vec<Role>,
    pub(crate) known: Vec<(String, String)>,
}

/// What the driver's URL leads to.
pub(crate) enum Backend {
    /// Servers.
    Servers { spec: Box<DeploymentSpec>, url: Arc<UrlOf> },
    /// Something without a server, given a fresh directory.
    Local { url: Box<dyn Fn(&Path) -> String + Send + Sync>, processes: bool },
}

impl Harness {
    /// A driver with servers. `name` is lowercase and says what is tested, such as `redis` or `redis-sentinel`;
    /// `url` makes a URL of the servers' addresses (`127.0.0.1:port`).
    ///
    /// `TOOZ_TEST_<NAME>_URL` gives a backend that runs already; trials that would harm it are ignored then.
    pub fn new(
        name: impl Into<String>,
        driver: DriverEntry,
        spec: DeploymentSpec,
        url: impl Fn(&[String]) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::with(name, driver, Backend::Servers { spec: Box::new(spec), url: Arc::new(url) })
    }

    /// A driver that needs no server but a directory, which processes of one host can share.
    pub fn in_directory(
        name: impl Into<String>,
        driver: DriverEntry,
        url: impl Fn(&Path) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::with(name, driver, Backend::Local { url: Box::new(url), processes: true })
    }

    /// A driver whose backend lives inside one process; `url` makes a URL of a word that nobody else uses.
    pub fn in_process(
        name: impl Into<String>,
        driver: DriverEntry,
        url: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let url = move |path: &Path| url(&path.file_name().unwrap_or_default().to_string_lossy());
        Self::with(name, driver, Backend::Local { url: Box::new(url), processes: false })
    }

    fn with(name: impl Into<String>, driver: DriverEntry, backend: Backend) -> Self {
        Self {
            name: name.into(),
            driver,
            backend,
            options: Vec::new(),
            ttl: Duration::from_secs(3),
            trials: trials::all(),
            roles: trials::roles(),
            known: Vec::new(),
        }
    }

    /// Adds an option to the query string of every URL.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The TTL of sessions in trials, 3 s by default: as short as the backend keeps reliably.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Adds a trial of the driver's own.
    #[must_use]
    pub fn trial<F>(mut self, name: &str, needs: Needs, run: impl Fn(Context) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.trials.push(Trial::new(name, needs, run));
        self
    }

    /// Leaves out the trials that every driver must pass: only those added by hand are run.
    #[must_use]
    pub fn only_own(mut self) -> Self {
        self.trials.clear();
        self
    }

    /// Adds something that a [child process](Context::spawn) can be told to do.
    #[must_use]
    pub fn role<F>(mut self, name: &'static str, run: impl Fn(ChildContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.roles.push(Role::new(name, run));
        self
    }

    /// Shows a trial as ignored, because of something that the product itself cannot do. The reason is printed; say
    /// the same in the driver's documentation.
    #[must_use]
    pub fn ignore(mut self, trial: &str, reason: &str) -> Self {
        self.known.push((trial.to_owned(), reason.to_owned()));
        self
    }

    /// `TOOZ_TEST_<NAME>_URL`.
    pub(crate) fn url_variable(&self) -> String {
        format!("TOOZ_TEST_{}_URL", self.name.to_uppercase().replace('-', "_"))
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("name", &self.name).field("driver", &self.driver).finish_non_exhaustive()
    }
}
