//! The roster: the one idea that a driver implements. An ordered set of entries, each bound to one session.

use std::fmt;
use std::num::NonZeroU32;

use crate::Name;

/// What a roster is used for; rosters of different kinds never meet, even under one name.
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

    /// A short stable lowercase word, fit for keys, logs and metrics.
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

/// Which roster: its kind and its name, inside the session's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Roster {
    /// What the roster is used for.
    pub kind: Kind,
    /// The name that the user gave.
    pub name: Name,
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The place of an entry in its roster, and the fencing token of an admitted one.
///
/// In one roster it rises with every entry and never restarts: not when the roster was empty, the server restarted or
/// lost its data, or the namespace was idle for a year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one entry, its incarnation: 128 random bits that core draws before the first attempt to enter.
///
/// A repeated attempt carries the same nonce and therefore finds its own entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u128);

impl Nonce {
    /// A fresh nonce, drawn from the operating system each time: a generator inside the process would give two forked
    /// processes the same numbers.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
        Self(u128::from_ne_bytes(bytes))
    }

    /// Reads what [`Display`](fmt::Display) wrote: exactly 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        // In halves, which takes half as long; a listing of a long line has many.
        let half = |digits| u64::from_str_radix(digits, 16).ok().map(u128::from);
        Some(Self(half(&text[..16])? << 64 | half(&text[16..])?))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every request carries one, and `{:032x}` takes several times as long.
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// With which other entries an entry conflicts; see [`admission`](super::admission).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Conflicts with every earlier `Exclusive` or `Shared` entry.
    Exclusive,
    /// Conflicts with earlier `Exclusive` entries only.
    Shared,
    /// Conflicts with nothing: a member of a group.
    Member,
}

impl Mode {
    /// A short stable letter: `x`, `s` or `m`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "x",
            Self::Shared => "s",
            Self::Member => "m",
        }
    }

    /// The modes with which an earlier entry conflicts with one of this mode; see [`admission`](super::admission).
    pub const fn conflicting(self) -> &'static [Self] {
        match self {
            Self::Exclusive => &[Self::Exclusive, Self::Shared],
            Self::Shared => &[Self::Exclusive],
            Self::Member => &[],
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "x" => Some(Self::Exclusive),
            "s" => Some(Self::Shared),
            "m" => Some(Self::Member),
            _ => None,
        }
    }
}

/// What `enter` does with an entry that is not admitted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IfBlocked {
    /// The entry stands in line.
    Wait,
    /// Nothing is left behind.
    Withdraw,
}

/// What `enter` does if another entry has the same unique key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IfTaken {
    /// It fails with [`MemberAlreadyExists`](crate::ErrorKind::MemberAlreadyExists).
    Refuse,
    /// It removes the other entry in the same atomic step and tells its session, as an eviction does.
    TakeOver,
}

/// How an entry is told apart from others in its roster, beyond its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key<'a> {
    /// By the nonce alone: any number of entries may stand.
    Nonce,
    /// By these bytes too (a member id): at most one entry with them stands in the roster.
    Unique(&'a [u8], IfTaken),
}

/// An entry that is about to enter a roster.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// Its identity, and what makes a repeated attempt idempotent.
    pub nonce: Nonce,
    /// Whether other bytes must be unique in the roster as well.
    pub key: Key<'a>,
    /// With which other entries it conflicts.
    pub mode: Mode,
    /// It is admitted when fewer than this many conflicting entries stand before it.
    pub limit: NonZeroU32,
    /// What happens if it is not admitted at once.
    pub if_blocked: IfBlocked,
    /// Whether the roster must have been declared, else `enter` fails with `GroupNotCreated`.
    pub needs_declared: bool,
    /// Bytes that other clients read; opaque to the driver.
    pub value: &'a [u8],
}

impl<'a> NewEntry<'a> {
    /// The unique key and what to do if another entry has it, or `None` for an entry without one.
    pub const fn unique_key(&self) -> Option<(&'a [u8], IfTaken)> {
        match self.key {
            Key::Nonce => None,
            Key::Unique(key, if_taken) => Some((key, if_taken)),
        }
    }

    /// The ticket of this entry once the backend has given it `seq`.
    pub const fn ticket(&self, seq: Seq) -> Ticket {
        Ticket { seq, nonce: self.nonce, mode: self.mode, limit: self.limit }
    }
}

/// The receipt of an entry that stands in a roster. It proves ownership: `leave` and `replace` compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The place in line, and the fencing token.
    pub seq: Seq,
    /// The identity of the entry.
    pub nonce: Nonce,
    /// As it entered.
    pub mode: Mode,
    /// As it entered.
    pub limit: NonZeroU32,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It stands and nothing blocks it.
    Admitted(Ticket),
    /// It stands in line behind `blocked_by`, the nearest conflicting entry before it.
    Waiting {
        /// The receipt.
        ticket: Ticket,
        /// The nearest conflicting entry before it.
        blocked_by: Seq,
    },
    /// It was blocked and asked to withdraw then: nothing was left behind.
    Withdrawn {
        /// The nearest conflicting entry before the place where it would have stood.
        blocked_by: Seq,
    },
}

/// An entry as it stands in a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in line.
    pub seq: Seq,
    /// Its identity.
    pub nonce: Nonce,
    /// The unique key, if it entered with one.
    pub key: Option<Vec<u8>>,
    /// As it entered.
    pub mode: Mode,
    /// As it entered.
    pub limit: NonZeroU32,
    /// As it entered, or as `replace` last set it.
    pub value: Vec<u8>,
}

/// An opaque stamp of a roster's content: two snapshots with equal versions have equal content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

/// All entries of a roster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The stamp of this content.
    pub version: Version,
    /// Whether the roster is declared (a group that was created).
    pub declared: bool,
    /// The entries of live sessions, in rising order of [`Entry::seq`].
    pub entries: Vec<Entry>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_nonce_is_read_as_it_was_written(number in any::<u128>()) {
            let text = Nonce(number).to_string();
            prop_assert_eq!(&text, &format!("{number:032x}"));
            prop_assert_eq!(Nonce::parse(&text), Some(Nonce(number)));
        }
    }

    #[test]
    fn nothing_else_is_read_as_a_nonce() {
        let (plus, long) = (format!("+{:031x}", 1), format!("{:033x}", 1));
        for text in ["", "1", &plus, &long, &"g".repeat(32), &"é".repeat(16)] {
            assert_eq!(Nonce::parse(text), None, "{text}");
        }
    }
}
