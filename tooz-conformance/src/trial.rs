//! A trial: one named behaviour, what it needs, and how it is tried.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::{Context, Failure};

/// What a trial needs. A harness that cannot give it shows the trial as ignored, with the reason.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    pub(crate) own_server: bool,
    pub(crate) proxy: bool,
    pub(crate) processes: bool,
    pub(crate) time_limit: Duration,
}

impl Needs {
    /// Nothing but the shared backend, for at most 60 s.
    pub const NOTHING: Self =
        Self { own_server: false, proxy: false, processes: false, time_limit: Duration::from_secs(60) };

    /// A backend of its own, which it may [kill and freeze](Context::server).
    pub const OWN_SERVER: Self = Self { own_server: true, ..Self::NOTHING };

    /// A [fault proxy](Context::proxied) between client and server.
    pub const PROXY: Self = Self { proxy: true, ..Self::NOTHING };

    /// Other [processes](Context::spawn) that reach the same backend.
    pub const PROCESSES: Self = Self { processes: true, ..Self::NOTHING };

    /// Also a backend of its own.
    #[must_use]
    pub const fn and_own_server(self) -> Self {
        Self { own_server: true, ..self }
    }

    /// Also a fault proxy.
    #[must_use]
    pub const fn and_proxy(self) -> Self {
        Self { proxy: true, ..self }
    }

    /// Also other processes.
    #[must_use]
    pub const fn and_processes(self) -> Self {
        Self { processes: true, ..self }
    }

    /// After how long the trial fails.
    #[must_use]
    pub const fn within(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }
}

type Run = dyn Fn(Context) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

/// One named behaviour.
#[derive(Clone)]
pub struct Trial {
    pub(crate) name: String,
    pub(crate) needs: Needs,
    pub(crate) run: Arc<Run>,
}

impl Trial {
    /// A trial; the name is a path such as `lock::acquire_release`.
    pub fn new<F>(name: impl Into<String>, needs: Needs, run: impl Fn(Context) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self { name: name.into(), needs, run: Arc::new(move |context| run(context).boxed()) }
    }

    /// The name, as it is listed.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}
