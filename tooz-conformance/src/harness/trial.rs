//! A trial: one named rule, what its check needs, and the check.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Context, Failure};

/// What a trial needs. Where the backend cannot give it, the trial is shown as ignored, with the reason.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    pub(crate) own_server: bool,
    pub(crate) proxy: bool,
    pub(crate) processes: bool,
    pub(crate) time_limit: Duration,
}

impl Needs {
    /// The shared backend only, for at most 60 s.
    pub const NOTHING: Self =
        Self { own_server: false, proxy: false, processes: false, time_limit: Duration::from_secs(60) };

    /// A backend of its own, which the trial may [kill and freeze](Context::server).
    pub const OWN_SERVER: Self = Self { own_server: true, ..Self::NOTHING };

    /// A [fault proxy](Context::proxied) between client and server.
    pub const PROXY: Self = Self { proxy: true, ..Self::NOTHING };

    /// Other [processes](Context::spawn) that use the same backend.
    pub const PROCESSES: Self = Self { processes: true, ..Self::NOTHING };

    /// Adds a backend of its own.
    #[must_use]
    pub const fn and_own_server(self) -> Self {
        Self { own_server: true, ..self }
    }

    /// Adds a fault proxy.
    #[must_use]
    pub const fn and_proxy(self) -> Self {
        Self { proxy: true, ..self }
    }

    /// Adds other processes.
    #[must_use]
    pub const fn and_processes(self) -> Self {
        Self { processes: true, ..self }
    }

    /// Sets the time after which the trial fails.
    #[must_use]
    pub const fn within(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }
}

type Run = dyn Fn(Context) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

/// One named rule that the driver must keep.
#[derive(Clone)]
pub struct Trial {
    pub(crate) name: String,
    pub(crate) needs: Needs,
    pub(crate) run: Arc<Run>,
    /// The number of the rule in the driver contract.
    number: Option<&'static str>,
}

impl Trial {
    /// A trial. The name is a subject and a plain sentence, such as `lock::waiters_are_served_in_order`.
    pub fn new<F>(name: impl Into<String>, needs: Needs, run: impl Fn(Context) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self { name: name.into(), needs, run: Arc::new(move |context| run(context).boxed()), number: None }
    }

    /// The name, as it is listed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says that the trial checks this rule of the driver contract.
    pub(crate) fn of_rule(self, number: &'static str) -> Self {
        Self { number: Some(number), ..self }
    }

    /// The name as a sentence, with the number of the rule if it is one of the driver contract.
    pub(crate) fn rule(&self) -> String {
        let sentence = self.name.replace("::", ": ").replace('_', " ");
        self.number.map_or(sentence.clone(), |number| format!("{sentence} ({number} of tooz_core::driver)"))
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}
