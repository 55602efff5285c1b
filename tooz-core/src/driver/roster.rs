//! The roster, an ordered set of entries: what identifies it, and what a client reads of it.

use std::fmt;

use super::{Change, Entry};
use crate::Name;

/// What a roster is used for. Rosters of different kinds are different rosters, even if they have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A mutex or read-write lock.
    Lock,
    /// A counting semaphore.
    Semaphore,
    /// A leader election.
    Election,
    /// A group with members.
    Group,
}

impl Kind {
    /// Every kind, for drivers that prepare something for each.
    pub const ALL: [Self; 4] = [Self::Lock, Self::Semaphore, Self::Election, Self::Group];

    /// A stable lowercase word for keys, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Semaphore => "semaphore",
            Self::Election => "election",
            Self::Group => "group",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identifies a roster inside the namespace of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Roster {
    /// What the roster is used for.
    pub kind: Kind,
    /// The name that the user chose.
    pub name: Name,
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// An opaque stamp of a roster's content. Two snapshots of one roster with equal versions have equal content.
///
/// Core compares versions only for equality, and only those of one session. A driver may forget a roster without
/// entries that is not declared. If the roster appears again, its versions must not repeat earlier ones with other
/// content: compute them from the content ([`content_version`](super::support::content_version)), or count with a
/// number that outlives the roster. `Version::default()` is the version of a roster that the driver does not store; no
/// roster that is declared or has entries has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

/// All entries of a roster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of this content.
    pub version: Version,
    /// Whether the roster is declared: a group that was created.
    pub declared: bool,
    /// The entries of live sessions, in ascending order of [`Entry::seq`].
    pub entries: Vec<Entry>,
}

impl Snapshot {
    /// Applies a change, for a driver that brings a snapshot up to date. The version stays as it is.
    ///
    /// **Idempotence:** a change that the snapshot contains already does no harm, provided that all later changes of the
    /// same entry follow.
    pub fn apply(&mut self, change: Change) {
        let place = |entries: &[Entry], seq| entries.binary_search_by_key(&seq, |entry| entry.seq);
        match change {
            Change::Entered(entry) => match place(&self.entries, entry.seq) {
                Ok(place) => self.entries[place] = entry,
                Err(place) => self.entries.insert(place, entry),
            },
            Change::Left(seq) => {
                if let Ok(place) = place(&self.entries, seq) {
                    self.entries.remove(place);
                }
            }
            Change::Replaced { seq, value } => {
                if let Ok(place) = place(&self.entries, seq) {
                    self.entries[place].value = value;
                }
            }
            Change::Declared(declared) => self.declared = declared,
        }
    }
}
