//! Faults, and a schedule of them drawn from a seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::client_id::{Client, GENERATION};

/// A kind of fault that a environment can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// The backend ends a session that is alive.
    Expire,
    /// One client is cut off: nothing gets through, and nobody is told.
    Partition,
    /// The connections of all clients break.
    Cut,
    /// Nothing gets through between any client and the backend, and nobody is told.
    BlackHole,
    /// Requests get through, replies do not.
    DropReplies,
    /// Requests arrive late, but they arrive: when nobody waits for their replies any more.
    Hold,
    /// One of the next requests of some clients is carried out, and its connection breaks before the reply.
    CutReply,
    /// Everything is slow.
    Delay,
    /// The server is frozen.
    FreezeServer,
    /// The server is killed and started again.
    RestartServer,
    /// A client process is killed; another takes its place.
    KillClient,
    /// A client process is frozen.
    FreezeClient,
    /// Entries are removed behind their owners' backs: of the holder and of the last who waits, or of a member.
    Remove,
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
            Self::CutReply => "cut reply",
            Self::Delay => "delay",
            Self::FreezeServer => "freeze server",
            Self::RestartServer => "restart server",
            Self::KillClient => "kill client",
            Self::FreezeClient => "freeze client",
            Self::Remove => "remove",
        })
    }
}

/// One fault: which, and whom it hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    kind: FaultKind,
    victims: Option<Vec<Client>>,
}

impl Fault {
    /// A fault that hits everybody.
    pub fn of_all(kind: FaultKind) -> Self {
        Self { kind, victims: None }
    }

    /// A fault that hits these clients.
    pub fn of(kind: FaultKind, victims: Vec<Client>) -> Self {
        Self { kind, victims: Some(victims) }
    }

    /// Which.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Whether it hits this client.
    pub fn hits(&self, client: Client) -> bool {
        self.victims.as_ref().is_none_or(|victims| victims.contains(&(client % GENERATION)))
    }

    /// Whom it hits, if not everybody.
    pub fn victims(&self) -> Option<&[Client]> {
        self.victims.as_deref()
    }
}

/// A fault to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// After the beginning of the run.
    pub after: Duration,
    /// For how long.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

/// Draws faults for a run of `length`, one after another with pauses between. `groups` are the clients that a fault of
/// some clients hits together: the clients of one process. The same seed draws the same schedule.
pub fn schedule(
    seed: u64,
    kinds: &[FaultKind],
    groups: &[Vec<Client>],
    length: Duration,
    ttl: Duration,
) -> Vec<Planned> {
    // Another stream than that of the clients, whose seeds derive from the same number.
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed_fa17);
    let mut planned = Vec::new();
    let mut at = ttl.mul_f64(rng.random_range(0.05..0.5));
    while let Some(kind) = kinds.choose(&mut rng).copied() {
        let lasts = match kind {
            FaultKind::Expire
            | FaultKind::KillClient
            | FaultKind::Cut
            | FaultKind::RestartServer
            | FaultKind::Remove => Duration::ZERO,
            // Sometimes shorter than the TTL, sometimes longer.
            _ => ttl.mul_f64(rng.random_range(0.05..1.6)),
        };
        if at + lasts + ttl / 4 > length {
            break;
        }
        let fault = match kind {
            FaultKind::Expire
            | FaultKind::Partition
            | FaultKind::CutReply
            | FaultKind::KillClient
            | FaultKind::FreezeClient => Fault::of(kind, groups.choose(&mut rng).cloned().unwrap_or_default()),
            _ => Fault::of_all(kind),
        };
        planned.push(Planned { after: at, lasts, fault });
        // Now and then there is time for everything to come to rest.
        let pause = if rng.random_bool(0.2) { 2.0..3.0 } else { 0.05..1.0 };
        at += lasts + ttl.mul_f64(rng.random_range(pause));
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
