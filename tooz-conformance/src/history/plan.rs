//! What a run does. Everything follows from the seed.

use std::time::Duration;

use super::client_id::{Client, observer};
use super::environment::Environment;
use super::fault::{FaultKind, Planned, schedule};
use super::timing::Timing;
use super::workload::Workload;

/// What a run does, all of it from the seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// With what.
    pub workload: Workload,
    /// What everything random is drawn from.
    pub seed: u64,
    /// For how long clients begin something new.
    pub length: Duration,
    /// How many processes there are, and how many clients in each.
    pub processes: (Client, Client),
    /// What is promised.
    pub timing: Timing,
}

impl Plan {
    pub(super) fn groups(&self) -> Vec<Vec<Client>> {
        let (processes, each) = self.processes;
        let of = |process: Client| {
            let mut clients: Vec<_> = (process * each..(process + 1) * each).collect();
            // In a process that can be harmed, so that onlookers are harmed too.
            if self.workload.is_observed() && process < 2 {
                clients.push(observer(process.into()));
            }
            clients
        };
        (0..processes).map(of).collect()
    }

    /// For how long nothing is harmed at the end; a restart takes its time, too.
    pub(super) fn settling(&self, environment: &dyn Environment) -> Duration {
        let restart =
            if environment.kinds().contains(&FaultKind::RestartServer) { self.timing.ttl } else { Duration::ZERO };
        self.timing.settling() + restart
    }

    /// The faults that this plan has at a environment with these kinds.
    pub fn schedule(&self, kinds: &[FaultKind]) -> Vec<Planned> {
        schedule(self.seed, kinds, &self.groups(), self.length, self.timing.ttl)
    }
}
