//! The entries of rosters: what identifies them, what they consist of, and what `enter` takes and returns.
//!
//! An entry belongs to one session and is removed when the session ends.

use std::fmt;
use std::num::NonZeroU32;

/// The position of an entry in its roster, and the fencing token of an admitted entry.
///
/// A new entry has a greater seq than every earlier entry of the same roster. The sequence continues after the roster
/// was empty or forgotten, after a restart of the server and after any idle time. If a server that has lost its data
/// starts again, the driver changes [`Session::history`](super::Session::history). Seqs may have gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one entry: 128 random bits that core draws before it first sends `enter`.
///
/// A repeated `enter` carries the same nonce, so the backend finds the entry of the first one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u128);

impl Nonce {
    /// A new nonce from the operating system's generator. A generator inside the process would give two forked
    /// processes the same numbers.
    ///
    /// # Panics
    /// If the operating system cannot provide random numbers.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
        Self(u128::from_ne_bytes(bytes))
    }

    /// Parses the output of [`Display`](fmt::Display): exactly 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        // Two halves parse twice as fast as a `u128`, and a snapshot of a long queue contains many nonces.
        let half = |digits| u64::from_str_radix(digits, 16).ok().map(u128::from);
        Some(Self(half(&text[..16])? << 64 | half(&text[16..])?))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every request formats a nonce, and `{:032x}` takes several times as long.
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

/// Which earlier entries an entry conflicts with; see [`admission`](super::admission).
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
    /// A stable letter for keys and rows: `x`, `s` or `m`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "x",
            Self::Shared => "s",
            Self::Member => "m",
        }
    }

    /// The modes of earlier entries that conflict with an entry of this mode; see [`admission`](super::admission).
    pub const fn conflicting(self) -> &'static [Self] {
        match self {
            Self::Exclusive => &[Self::Exclusive, Self::Shared],
            Self::Shared => &[Self::Exclusive],
            Self::Member => &[],
        }
    }

    /// Parses the output of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "x" => Some(Self::Exclusive),
            "s" => Some(Self::Shared),
            "m" => Some(Self::Member),
            _ => None,
        }
    }
}

/// What `enter` does with an entry that is not admitted immediately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IfBlocked {
    /// It adds the entry, which waits in the queue.
    Wait,
    /// It adds nothing.
    Withdraw,
}

/// What `enter` does if another entry has the same unique key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IfTaken {
    /// It fails with [`MemberAlreadyExists`](crate::ErrorKind::MemberAlreadyExists).
    Refuse,
    /// It removes the other entry in the same atomic step and reports that to its session, as an eviction.
    TakeOver,
}

/// What must be unique about an entry in its roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key<'a> {
    /// Only its nonce.
    Nonce,
    /// Its nonce and these bytes, such as a member id. At most one entry of the roster has them.
    Unique(&'a [u8], IfTaken),
}

/// The entry that `enter` adds to a roster.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// The identity of the entry. It makes `enter` idempotent.
    pub nonce: Nonce,
    /// Whether further bytes must be unique in the roster.
    pub key: Key<'a>,
    /// Which earlier entries the entry conflicts with.
    pub mode: Mode,
    /// The entry is admitted when fewer than this many conflicting entries are before it.
    pub limit: NonZeroU32,
    /// What happens if the entry is not admitted immediately.
    pub if_blocked: IfBlocked,
    /// Whether `enter` fails with `GroupNotCreated` unless the roster is declared.
    pub needs_declared: bool,
    /// Bytes for other clients, opaque to the driver.
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

/// The receipt of an entry in a roster.
///
/// It matches an entry with the same seq and nonce. The mode and the limit are those of the entry, so that a driver can
/// apply the admission rule without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The position of the entry, and its fencing token.
    pub seq: Seq,
    /// The identity of the entry.
    pub nonce: Nonce,
    /// The mode of the entry.
    pub mode: Mode,
    /// The limit of the entry.
    pub limit: NonZeroU32,
}

impl Ticket {
    /// The standing of this entry: waiting for `blocked_by`, or admitted if there is none.
    pub const fn standing(self, blocked_by: Option<Seq>) -> Standing {
        match blocked_by {
            None => Standing::Admitted(self),
            Some(blocked_by) => Standing::Waiting { ticket: self, blocked_by },
        }
    }
}

/// The result of `enter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// The entry is in the roster and admitted.
    Admitted(Ticket),
    /// The entry is in the roster and waits.
    Waiting {
        /// The receipt of the entry.
        ticket: Ticket,
        /// The nearest earlier entry that conflicts with it.
        blocked_by: Seq,
    },
    /// The entry would have waited and has [`IfBlocked::Withdraw`], so the driver added nothing.
    Withdrawn {
        /// The nearest entry that conflicts with it.
        blocked_by: Seq,
    },
}

/// An entry of a roster, as a snapshot shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position in the roster.
    pub seq: Seq,
    /// Its identity.
    pub nonce: Nonce,
    /// The unique key, if it entered with one.
    pub key: Option<Vec<u8>>,
    /// The mode with which it entered.
    pub mode: Mode,
    /// The limit with which it entered.
    pub limit: NonZeroU32,
    /// The value with which it entered, or which `replace` set last.
    pub value: Vec<u8>,
}

impl Entry {
    /// Whether this is the entry of `ticket`.
    pub fn matches(&self, ticket: &Ticket) -> bool {
        (self.seq, self.nonce) == (ticket.seq, ticket.nonce)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_nonce_is_parsed_as_it_was_formatted(number in any::<u128>()) {
            let text = Nonce(number).to_string();
            prop_assert_eq!(&text, &format!("{number:032x}"));
            prop_assert_eq!(Nonce::parse(&text), Some(Nonce(number)));
        }

        #[test]
        fn a_parsed_text_is_a_formatted_one(text in "[0-9a-fA-F+ ]{31,33}|[xsmXé]{0,2}") {
            if let Some(nonce) = Nonce::parse(&text) {
                prop_assert_eq!(nonce.to_string(), text.to_lowercase());
            }
            if let Some(mode) = Mode::parse(&text) {
                prop_assert_eq!(mode.as_str(), text);
            }
        }
    }

    #[test]
    fn a_mode_is_parsed_as_it_was_formatted() {
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Member] {
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
        }
    }

    #[test]
    fn nothing_else_is_parsed_as_a_nonce() {
        let (plus, long) = (format!("+{:031x}", 1), format!("{:033x}", 1));
        for text in ["", "1", &plus, &long, &"g".repeat(32), &"é".repeat(16)] {
            assert_eq!(Nonce::parse(text), None, "{text}");
        }
    }
}
