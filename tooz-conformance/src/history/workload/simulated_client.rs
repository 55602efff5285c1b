//! One client of a run: its number, its random choices, and how it connects.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, timeout_at};
use tooz_core::{Builder, Coordinator};

use super::process_plan::ProcessPlan;
use crate::history::client_id::{Client, member};
use crate::history::recorder::Recorder;

/// Makes a builder of a coordinator for a member name.
pub type Connect = Arc<dyn Fn(&str) -> Builder + Send + Sync>;

/// One client.
pub(super) struct SimulatedClient {
    pub(super) id: Client,
    pub(super) rng: StdRng,
    pub(super) plan: ProcessPlan,
    connect: Connect,
    pub(super) recorder: Recorder,
    ops: u32,
}

impl SimulatedClient {
    pub(super) fn new(id: Client, plan: &ProcessPlan, connect: &Connect, recorder: &Recorder) -> Self {
        Self {
            id,
            rng: StdRng::seed_from_u64(plan.seed.wrapping_mul(0x9e37_79b9).wrapping_add(u64::from(id))),
            plan: plan.clone(),
            connect: connect.clone(),
            recorder: recorder.clone(),
            ops: 0,
        }
    }

    /// The number of the next operation.
    pub(super) fn next_op(&mut self) -> u32 {
        self.ops += 1;
        self.ops
    }

    pub(super) fn until(&self) -> Instant {
        self.recorder.instant(self.plan.until)
    }

    pub(super) fn settled(&self) -> Instant {
        self.recorder.instant(self.plan.settled)
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until()
    }

    pub(super) fn ttl(&self) -> Duration {
        self.plan.ttl
    }

    /// Connects, with retries. Returns `None` if it does not succeed before `limit`.
    pub(super) async fn connect(&self, limit: Instant) -> Option<Coordinator> {
        let attempt = async {
            loop {
                match (self.connect)(&member(self.id)).ttl(self.ttl()).timeout(self.ttl() / 3).connect().await {
                    Ok(coordinator) => return coordinator,
                    Err(error) => tracing::debug!(%error, "no connection yet"),
                }
                sleep(self.ttl() / 30).await;
            }
        };
        timeout_at(limit, attempt).await.ok()
    }
}
