//! Where a run takes place: how its clients connect, and which faults can be injected.

use async_trait::async_trait;
use tooz_core::driver::Session;
use tooz_core::{Builder, Error};

use super::event::Event;
use super::fault::{Fault, FaultKind};
use super::recorder::Recorder;
use super::workload::ProcessPlan;

/// Where a run takes place: how clients get there, and what can go wrong.
#[async_trait]
pub trait Environment: Send + Sync {
    /// A client that is about to connect, unharmed by proxies and the like.
    fn builder(&self, member: &str) -> Builder;

    /// A session of the driver, unharmed as well. Nothing renews it.
    async fn session(&self) -> Result<Box<dyn Session>, Error>;

    /// What can go wrong here.
    fn kinds(&self) -> Vec<FaultKind>;

    /// Begins to play a plan_of_process, in this process or another.
    async fn play(&self, plan_of_process: ProcessPlan, recorder: &Recorder) -> Result<(), String>;

    /// Makes a fault begin.
    async fn begin(&self, fault: &Fault) -> Result<(), String>;

    /// Ends it.
    async fn end(&self, fault: &Fault) -> Result<(), String>;

    /// Waits for all processes and returns what was recorded elsewhere than in this process.
    async fn finish(&self) -> Result<Vec<Event>, String>;
}
