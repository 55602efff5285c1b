//! Faults, and a schedule of faults drawn from a seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::client_id::{Client, GENERATION, is_observer};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FaultKind {
    /// The backend ends a live session.
    Expire,
    /// One client is disconnected without an error: no bytes pass.
    Partition,
    /// The connections of all clients break.
    Cut,
    /// No bytes pass between any client and the backend, without an error.
    BlackHole,
    /// Requests pass, replies do not.
    DropReplies,
    /// Requests arrive late: after their clients have stopped waiting for the replies.
    Hold,
    /// What the server sends without a request is lost.
    LoseNotifications,
    /// One of the next requests of some clients is carried out, and its connection breaks before the reply.
    CutReply,
    /// Everything is slow.
    Delay,
    /// The server is frozen.
    FreezeServer,
    /// The server is killed and started again.
    RestartServer,
    /// A client process is killed and replaced by another.
    KillClient,
    /// All client processes without observers are killed and replaced at once.
    RestartClients,
    /// A client process is frozen.
    FreezeClient,
    /// The host of a client process is suspended, so that its monotonic clock stops.
    Suspend,
    /// A client process forks, and further clients connect in its copies.
    Fork,
    /// The server is killed and started again with the data that it had before the run.
    Restore,
    /// The server is killed and started again without data.
    EmptyServer,
    /// Another client writes values that tooz cannot read, and leaves dead sessions.
    Neighbour,
    /// Entries are removed without their owners' knowledge: those of the holder and of the last waiter, or that of a
    /// member.
    Remove,
}

impl FaultKind {
    /// Whether it begins a new history of the server: all sessions end, and numbers may start again.
    pub fn begins_a_history(self) -> bool {
        matches!(self, Self::Restore | Self::EmptyServer)
    }

    /// Whether no client may notice it, so that it is no excuse for a loss.
    pub fn must_not_disturb(self) -> bool {
        matches!(self, Self::Fork | Self::Neighbour)
    }

    /// Whether it has no duration.
    fn is_instant(self) -> bool {
        matches!(
            self,
            Self::Expire
                | Self::KillClient
                | Self::RestartClients
                | Self::Cut
                | Self::RestartServer
                | Self::Remove
                | Self::Fork
                | Self::Restore
                | Self::EmptyServer
                | Self::Neighbour
        )
    }

    /// Whether it hits the clients of one process.
    fn hits_one_process(self) -> bool {
        matches!(
            self,
            Self::Expire
                | Self::Partition
                | Self::CutReply
                | Self::KillClient
                | Self::FreezeClient
                | Self::Suspend
                | Self::Fork
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expire => "expire",
            Self::Partition => "partition",
            Self::Cut => "cut",
            Self::BlackHole => "black hole",
            Self::DropReplies => "drop replies",
            Self::Hold => "hold",
            Self::LoseNotifications => "lose notifications",
            Self::CutReply => "cut reply",
            Self::Delay => "delay",
            Self::FreezeServer => "freeze server",
            Self::RestartServer => "restart server",
            Self::KillClient => "kill client",
            Self::RestartClients => "restart clients",
            Self::FreezeClient => "freeze client",
            Self::Suspend => "suspend",
            Self::Fork => "fork",
            Self::Restore => "restore",
            Self::EmptyServer => "empty server",
            Self::Neighbour => "hostile neighbour",
            Self::Remove => "remove",
        })
    }
}

/// Which faults a run injects, as far as they can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Those of clients and of the network.
    Clients,
    /// Those of servers, too.
    Servers,
    /// Servers are emptied and restored, while clients are killed.
    Data,
    /// Most clients restart at once, and notifications are lost. Such a run has many clients.
    Restarts,
}

/// One fault: its kind, and the clients that it hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    kind: FaultKind,
    victims: Option<Vec<Client>>,
}

impl Fault {
    /// A fault that hits every client.
    pub fn of_all(kind: FaultKind) -> Self {
        Self { kind, victims: None }
    }

    /// A fault that hits these clients.
    pub fn of(kind: FaultKind, victims: Vec<Client>) -> Self {
        Self { kind, victims: Some(victims) }
    }

    /// The kind.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Whether it hits this client.
    pub fn hits(&self, client: Client) -> bool {
        self.victims.as_ref().is_none_or(|victims| victims.contains(&(client % GENERATION)))
    }

    /// The clients that it hits, or `None` if it hits every client.
    pub fn victims(&self) -> Option<&[Client]> {
        self.victims.as_deref()
    }
}

/// A scheduled fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins, after the beginning of the run.
    pub after: Duration,
    /// How long it is active.
    pub lasts: Duration,
    /// The fault.
    pub fault: Fault,
}

/// Draws faults for a run of `length`, one after another with pauses. `groups` are the clients of each process, which a
/// fault hits together. The same seed draws the same schedule.
pub fn schedule(
    seed: u64,
    kinds: &[FaultKind],
    groups: &[Vec<Client>],
    length: Duration,
    ttl: Duration,
) -> Vec<Planned> {
    // The stream of random numbers differs from that of the clients, whose seeds derive from the same number.
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed_fa17);
    let mut planned = Vec::new();
    let mut at = ttl.mul_f64(rng.random_range(0.05..0.5));
    while let Some(kind) = kinds.choose(&mut rng).copied() {
        // A fault is sometimes shorter and sometimes longer than the TTL.
        let lasts = if kind.is_instant() { Duration::ZERO } else { ttl.mul_f64(rng.random_range(0.05..1.6)) };
        if at + lasts + ttl / 4 > length {
            break;
        }
        let fault = match kind {
            FaultKind::RestartClients => Fault::of(kind, without_observers(groups)),
            kind if kind.hits_one_process() => Fault::of(kind, groups.choose(&mut rng).cloned().unwrap_or_default()),
            kind => Fault::of_all(kind),
        };
        planned.push(Planned { after: at, lasts, fault });
        // Some pauses are long enough for everything to settle.
        let pause = if rng.random_bool(0.2) { 2.0..3.0 } else { 0.05..1.0 };
        at += lasts + ttl.mul_f64(rng.random_range(pause));
    }
    planned
}

/// The clients of the processes that have no observer.
fn without_observers(groups: &[Vec<Client>]) -> Vec<Client> {
    groups.iter().filter(|group| !group.iter().copied().any(is_observer)).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::client_id::observer;

    #[test]
    fn a_seed_draws_its_schedule_again() {
        let kinds = [FaultKind::Expire, FaultKind::Partition, FaultKind::Cut];
        let draw =
            |seed| schedule(seed, &kinds, &[vec![0], vec![1, 2]], Duration::from_secs(60), Duration::from_secs(3));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let plan = draw(7);
        assert!(plan.len() > 5, "{plan:?}");
        assert!(plan.iter().all(|fault| fault.after + fault.lasts < Duration::from_secs(60)));
    }

    #[test]
    fn a_restart_of_clients_does_not_hit_observers() {
        let groups = [vec![0, 1, observer(0)], vec![2, 3], vec![4]];
        let plan = schedule(7, &[FaultKind::RestartClients], &groups, Duration::from_secs(60), Duration::from_secs(3));
        assert!(plan.iter().all(|planned| planned.fault.victims() == Some(&[2, 3, 4][..])), "{plan:?}");
    }
}
