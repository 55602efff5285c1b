//! What a run does. Everything follows from the seed.

use std::time::Duration;

use super::client_id::{Client, observer};
use super::environment::Environment;
use super::fault::{FaultKind, Planned, schedule};
use super::timing::Timing;
use super::workload::Workload;

/// The description of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the clients work with.
    pub workload: Workload,
    /// The source of all random choices.
    pub seed: u64,
    /// How long clients start new operations.
    pub length: Duration,
    /// The number of processes, and the number of clients in each.
    pub processes: (Client, Client),
    /// The times that the run relies on.
    pub timing: Timing,
}

impl Plan {
    pub(super) fn groups(&self) -> Vec<Vec<Client>> {
        let (processes, each) = self.processes;
        let of = |process: Client| {
            let mut clients: Vec<_> = (process * each..(process + 1) * each).collect();
            // Observers run in processes that faults can hit, so that faults hit observers too. Among many clients there are
            // several.
            if self.workload.is_observed() && process < 2 {
                let observers = 1 + each / 4;
                clients.extend((process * observers..(process + 1) * observers).map(|index| observer(index.into())));
            }
            clients
        };
        (0..processes).map(of).collect()
    }

    /// How long no fault is active at the end. A restart takes additional time.
    pub(super) fn settling(&self, environment: &dyn Environment) -> Duration {
        let restart =
            if environment.kinds().contains(&FaultKind::RestartServer) { self.timing.ttl } else { Duration::ZERO };
        self.timing.settling() + restart
    }

    /// The faults of this plan in an environment with these kinds.
    pub fn schedule(&self, kinds: &[FaultKind]) -> Vec<Planned> {
        schedule(self.seed, kinds, &self.groups(), self.length, self.timing.ttl)
    }
}
