//! Where a run takes place: how its clients connect, and which faults can be injected.

use async_trait::async_trait;
use tooz_core::driver::Session;
use tooz_core::{Builder, Error};

use super::event::Event;
use super::fault::{Fault, FaultKind};
use super::recorder::Recorder;
use super::workload::ProcessPlan;

/// Where a run takes place: how its clients connect, and which faults can be injected.
#[async_trait]
pub trait Environment: Send + Sync {
    /// A builder of a coordinator that no fault of the network affects.
    fn builder(&self, member: &str) -> Builder;

    /// A session of the driver that no fault of the network affects. Nothing renews it.
    async fn session(&self) -> Result<Box<dyn Session>, Error>;

    /// The faults that can be injected here.
    fn kinds(&self) -> Vec<FaultKind>;

    /// Keeps a copy of the server's data, which [`Restore`](FaultKind::Restore) brings back.
    async fn save(&self) -> Result<(), String>;

    /// Starts the clients of `plan`, in this process or in another.
    async fn play(&self, plan: ProcessPlan, recorder: &Recorder) -> Result<(), String>;

    /// Starts a fault.
    async fn begin(&self, fault: &Fault) -> Result<(), String>;

    /// Ends a fault.
    async fn end(&self, fault: &Fault) -> Result<(), String>;

    /// Waits for all client processes and returns the events that they recorded.
    async fn finish(&self) -> Result<Vec<Event>, String>;
}
