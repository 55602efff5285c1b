//! What every operation has in common: a validated name, a tracing span, and errors that say what was attempted on what.

use std::sync::Arc;

use tracing::Instrument;

use super::handle::Coordinator;
use crate::driver::{Kind, Roster};
use crate::session::live::LiveSession;
use crate::{Error, Name, Result, telemetry};

/// A roster that the user named. An invalid name is reported by the first operation.
#[derive(Clone, Debug)]
pub(crate) struct RosterTarget {
    coordinator: Coordinator,
    kind: Kind,
    roster: Result<Arc<Roster>>,
}

impl RosterTarget {
    pub(crate) fn new(coordinator: &Coordinator, kind: Kind, name: impl AsRef<[u8]>) -> Self {
        let roster = Name::new(name.as_ref()).map(|name| Arc::new(Roster { kind, name }));
        let roster = roster.map_err(|error| error.with_context("used as", format!("{kind} name")));
        Self { coordinator: coordinator.clone(), kind, roster }
    }

    /// The roster of another kind with the same name.
    pub(crate) fn with_kind(&self, kind: Kind) -> Self {
        let roster = self.roster.clone().map(|roster| Arc::new(Roster { kind, name: roster.name.clone() }));
        Self { coordinator: self.coordinator.clone(), kind, roster }
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    pub(crate) fn roster(&self) -> Result<&Arc<Roster>> {
        self.roster.as_ref().map_err(Error::clone)
    }

    /// The roster and the present session, which every request needs.
    pub(crate) async fn open(&self) -> Result<(&Arc<Roster>, Arc<LiveSession>)> {
        Ok((self.roster()?, self.coordinator.live().await?))
    }

    /// Runs an operation on this roster; see [`run_operation`].
    pub(crate) async fn run<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let name = self.roster.as_ref().ok().map(|roster| (self.kind.as_str(), &roster.name));
        run_operation(&self.coordinator, operation, name, work).await
    }
}

/// Runs `work` in a span of its own, and only in the process that connected. Adds the operation, and the kind and name of
/// the object, to its error.
pub(crate) async fn run_operation<T>(
    coordinator: &Coordinator,
    operation: &'static str,
    object: Option<(&'static str, &Name)>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let span = telemetry::operation(operation, coordinator.member(), object);
    let outcome = coordinator.supervisor().process().run(work.instrument(span.clone())).await;
    outcome.flatten().map_err(|error| {
        telemetry::failed(&span, &error);
        let error = error.with_operation(operation);
        match object {
            Some((kind, name)) if error.context().all(|(key, _)| key != kind) => error.with_context(kind, name),
            _ => error,
        }
    })
}
