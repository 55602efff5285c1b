//! How keys and values are built. Everything stands under `/<namespace>/`; names are percent-encoded, so that no name
//! can reach into another.
//!
//! ```text
//! /<ns>/session/<lease>                  member id; bound to the lease. Each withdrawal writes it anew
//! /<ns>/evicted/<lease>/<nonce>          note to the owner of an entry that somebody else removed; bound to its lease
//! /<ns>/<kind>/<name>/<mode>/<lease>.<n> an entry: "<nonce> <limit>\n<value>"; bound to the lease of its session, which
//!                                        has numbered its places: see places.rs. An entry that was admitted in a long
//!                                        line may say so: "<nonce> <limit> <length of the line>\n<value>"
//! /<ns>/<kind>/<name>/<mode>/<key>/<lease>.<n>   the same with a unique key
//! /<ns>/declared/<kind>/<name>           a roster that was declared
//! /<ns>/topic/<name>/bounds              "<newest> <trimmed>": the newest offset, and the greatest one removed
//! /<ns>/topic/<name>/message/<offset>    a message
//! ```

use std::fmt::Write as _;
use std::num::NonZeroU32;

use etcd_client::KeyValue;
use tooz_core::driver::{Entry, Kind, Mode, Nonce, Offset, Roster, Seq, Ticket};
use tooz_core::{Name, Result};

use crate::error::corrupt;

/// The keys from `start` to before `end`; an empty `end` means `start` alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    pub(crate) fn key(key: impl Into<Vec<u8>>) -> Self {
        Self { start: key.into(), end: Vec::new() }
    }

    /// From the one key to the other, both included.
    pub(crate) fn between(one: &[u8], other: &[u8]) -> Self {
        let mut end = one.max(other).to_vec();
        end.push(0);
        Self { start: one.min(other).to_vec(), end }
    }

    /// All keys that begin with `prefix`, which ends in a slash.
    pub(crate) fn under(prefix: String) -> Self {
        let mut end = prefix.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Self { start: prefix.into_bytes(), end }
    }
}

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: String,
}

impl Layout {
    /// `path` is the path of the URL, a prefix before the namespace.
    pub(crate) fn new(path: &str, namespace: &str) -> Self {
        let mut root = String::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()).chain([namespace]) {
            root.push('/');
            escape(&mut root, segment.as_bytes());
        }
        Self { root }
    }

    pub(crate) fn session(&self, lease: i64) -> Vec<u8> {
        format!("{}/session/{lease:016x}", self.root).into_bytes()
    }

    pub(crate) fn evictions(&self, lease: i64) -> KeyRange {
        KeyRange::under(format!("{}/evicted/{lease:016x}/", self.root))
    }

    pub(crate) fn eviction(&self, lease: i64, nonce: Nonce) -> Vec<u8> {
        format!("{}/evicted/{lease:016x}/{nonce}", self.root).into_bytes()
    }

    pub(crate) fn declared(&self, roster: &Roster) -> Vec<u8> {
        let mut key = format!("{}/declared/{}/", self.root, roster.kind);
        escape(&mut key, roster.name.as_bytes());
        key.into_bytes()
    }

    pub(crate) fn all_declared(&self, kind: Kind) -> KeyRange {
        KeyRange::under(format!("{}/declared/{kind}/", self.root))
    }

    pub(crate) fn roster(&self, roster: &Roster) -> RosterKeys {
        let mut prefix = format!("{}/{}/", self.root, roster.kind);
        escape(&mut prefix, roster.name.as_bytes());
        prefix.push('/');
        RosterKeys { prefix }
    }

    pub(crate) fn topic(&self, topic: &Name) -> TopicKeys {
        let mut prefix = format!("{}/topic/", self.root);
        escape(&mut prefix, topic.as_bytes());
        TopicKeys { prefix }
    }
}

/// The keys of one roster.
#[derive(Clone, Debug)]
pub(crate) struct RosterKeys {
    prefix: String,
}

impl RosterKeys {
    pub(crate) fn entries(&self) -> KeyRange {
        KeyRange::under(self.prefix.clone())
    }

    /// What the keys of a session's entries of this mode, and with this unique key, begin with; a number follows.
    pub(crate) fn places(&self, mode: Mode, unique: Option<&[u8]>, lease: i64) -> Vec<u8> {
        let mut prefix = self.mode(mode);
        if let Some(unique) = unique {
            escape(&mut prefix, unique);
            prefix.push('/');
        }
        // Writing to a string cannot fail.
        let _ = write!(prefix, "{lease:016x}.");
        prefix.into_bytes()
    }

    pub(crate) fn contain(&self, key: &[u8]) -> bool {
        key.starts_with(self.prefix.as_bytes())
    }

    /// Whether an entry of this mode in this roster may have the key.
    pub(crate) fn may_have(&self, mode: Mode, key: &[u8]) -> bool {
        key.starts_with(self.mode(mode).as_bytes())
    }

    /// Where entries with this unique key stand, one range for each mode.
    pub(crate) fn namesakes(&self, unique: &[u8]) -> [KeyRange; 3] {
        [Mode::Exclusive, Mode::Shared, Mode::Member].map(|mode| {
            let mut prefix = self.mode(mode);
            escape(&mut prefix, unique);
            prefix.push('/');
            KeyRange::under(prefix)
        })
    }

    /// Where the entries stand that conflict with one of `mode`. One range does, since `s` comes before `x`.
    pub(crate) fn conflicting(&self, mode: Mode) -> Option<KeyRange> {
        let first = match mode {
            Mode::Exclusive => Mode::Shared,
            Mode::Shared => Mode::Exclusive,
            _ => return None,
        };
        let end = KeyRange::under(self.mode(Mode::Exclusive)).end;
        Some(KeyRange { start: self.mode(first).into_bytes(), end })
    }

    /// Reads an entry back from its key and value.
    pub(crate) fn parse(&self, stored: &KeyValue) -> Result<Entry> {
        self.parse_parts(stored).ok_or_else(|| corrupt(stored.key()))
    }

    fn parse_parts(&self, stored: &KeyValue) -> Option<Entry> {
        let rest = stored.key().strip_prefix(self.prefix.as_bytes())?;
        let mut parts = std::str::from_utf8(rest).ok()?.split('/');
        let mode = Mode::parse(parts.next()?)?;
        let key = match (parts.next()?, parts.next(), parts.next()) {
            (_, None, _) => None,
            (key, Some(_), None) => Some(unescape(key)?),
            _ => return None,
        };
        let (Head { nonce, limit, .. }, value) = Head::parse(stored.value())?;
        Some(Entry { seq: seq(stored), nonce, key, mode, limit, value: value.to_vec() })
    }

    fn mode(&self, mode: Mode) -> String {
        format!("{}{}/", self.prefix, mode.as_str())
    }
}

/// The place in line, and the fencing token.
pub(crate) fn seq(stored: &KeyValue) -> Seq {
    Seq(stored.create_revision().unsigned_abs())
}

/// The create revision that a ticket proves.
pub(crate) fn revision(ticket: &Ticket) -> i64 {
    // Revisions are positive, so a seq that is none compares unequal to all of them.
    i64::try_from(ticket.seq.0).unwrap_or(-1)
}

/// What the value of an entry's key begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) nonce: Nonce,
    pub(crate) limit: NonZeroU32,
    /// How long the line was in which the entry was admitted, if it says so.
    pub(crate) line: Option<u64>,
}

impl Head {
    /// Splits the value of an entry's key.
    pub(crate) fn parse(stored: &[u8]) -> Option<(Self, &[u8])> {
        let at = stored.iter().position(|byte| *byte == b'\n')?;
        let mut parts = std::str::from_utf8(&stored[..at]).ok()?.split(' ');
        let (nonce, limit) = (Nonce::parse(parts.next()?)?, parts.next()?.parse().ok()?);
        let line = parts.next().map(str::parse).transpose().ok()?;
        parts.next().is_none().then_some((Self { nonce, limit, line }, &stored[at + 1..]))
    }

    /// The value of the key of an entry with this value.
    pub(crate) fn before(self, value: &[u8]) -> Vec<u8> {
        let line = self.line.map(|line| format!(" {line}")).unwrap_or_default();
        let mut stored = format!("{} {}{line}\n", self.nonce, self.limit).into_bytes();
        stored.extend_from_slice(value);
        stored
    }
}

/// The keys of one topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicKeys {
    prefix: String,
}

impl TopicKeys {
    pub(crate) fn bounds(&self) -> Vec<u8> {
        format!("{}/bounds", self.prefix).into_bytes()
    }

    pub(crate) fn message(&self, offset: u64) -> Vec<u8> {
        format!("{}/message/{offset:020}", self.prefix).into_bytes()
    }

    /// The next `most` messages after `after`, in order. Bounded at its end, too: etcd counts all keys of a range, also
    /// those beyond a limit.
    pub(crate) fn messages_after(&self, after: u64, most: u64) -> KeyRange {
        let first = after.saturating_add(1);
        KeyRange { start: self.message(first), end: self.message(first.saturating_add(most)) }
    }

    pub(crate) fn parse_offset(&self, stored: &KeyValue) -> Result<Offset> {
        let digits = stored.key().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let offset = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        offset.map(Offset).ok_or_else(|| corrupt(stored.key()))
    }
}

/// The name that a key of [`Layout::all_declared`] ends with.
pub(crate) fn declared_name(stored: &KeyValue) -> Result<Name> {
    let last = stored.key().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name = std::str::from_utf8(last).ok().and_then(unescape);
    name.and_then(|name| Name::new(name).ok()).ok_or_else(|| corrupt(stored.key()))
}

/// The nonce that the key of a note about an eviction ends with.
pub(crate) fn nonce_of(note: &KeyValue) -> Option<Nonce> {
    let last = note.key().rsplit(|byte| *byte == b'/').next()?;
    Nonce::parse(std::str::from_utf8(last).ok()?)
}

/// Keeps what is harmless in a key and a shell, and writes every other byte as `%xx`.
fn escape(key: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' | b'@' => {
                key.push(char::from(*byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(key, "%{byte:02x}")),
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(name: &[u8]) -> Roster {
        Roster { kind: Kind::Lock, name: Name::new(name).unwrap() }
    }

    #[test]
    fn names_cannot_reach_into_each_other() {
        let layout = Layout::new("/prod/x y", "a/b");
        let keys = layout.roster(&roster(b"x/s"));
        let places = keys.places(Mode::Exclusive, Some(b"m/1"), 10);
        let expected = "/prod/x%20y/a%2fb/lock/x%2fs/x/m%2f1/000000000000000a.";
        assert_eq!(String::from_utf8(places.clone()).unwrap(), expected);
        assert!(keys.may_have(Mode::Exclusive, &places) && !keys.may_have(Mode::Shared, &places));
        assert!(!layout.roster(&roster(b"x")).may_have(Mode::Exclusive, &places));
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        escape(&mut text, &all);
        assert!(text.is_ascii() && !text.contains('/'));
        assert_eq!(unescape(&text), Some(all));
        assert_eq!(unescape("a%2"), None);
        assert_eq!(unescape("%zz"), None);
    }

    #[test]
    fn heads_are_read_back() {
        for line in [None, Some(70)] {
            let head = Head { nonce: Nonce(7), limit: NonZeroU32::MIN, line };
            assert_eq!(Head::parse(&head.before(b"7 8\n9")), Some((head, &b"7 8\n9"[..])));
        }
        for other in [&b""[..], b"\n", b"1\n", b"0000000000000000000000000000000a 1 x\n"] {
            assert_eq!(Head::parse(other), None);
        }
    }

    #[test]
    fn conflicts_are_one_range() {
        let keys = Layout::new("", "ns").roster(&roster(b"n"));
        let within = |range: &KeyRange, mode| {
            let key = keys.places(mode, None, -1);
            range.start <= key && key < range.end
        };
        let exclusive = keys.conflicting(Mode::Exclusive).unwrap();
        let shared = keys.conflicting(Mode::Shared).unwrap();
        use Mode::{Exclusive as X, Member as M, Shared as S};
        assert_eq!([X, S, M].map(|mode| within(&exclusive, mode)), [true, true, false]);
        assert_eq!([X, S, M].map(|mode| within(&shared, mode)), [true, false, false]);
        assert_eq!(keys.conflicting(M), None);
    }
}
