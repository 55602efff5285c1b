//! How keys and values are built and read. All keys are under `/<namespace>/`; names are percent-encoded, so that no name
//! can reach into another.
//!
//! ```text
//! /<ns>/session/<lease>                  the member id; bound to the lease; see fence.rs
//! /<ns>/evicted/<lease>/<nonce>          note to the session of an entry that another client removed; bound to its lease
//! /<ns>/<kind>/<name>/<mode>/<lease>.<limit>.<n>   an entry: "<nonce>\n<value>"; bound to the lease; see key_pool.rs
//! /<ns>/<kind>/<name>/<mode>/<key>/<lease>.<limit>.<n>   the same with a unique key
//! /<ns>/declared/<kind>/<name>           a roster that was declared
//! /<ns>/topic/<name>/segment/<number>    written with each message of the segment; see topics.rs
//! /<ns>/topic/<name>/message/<number>/<lease>.<n>   a message of this segment
//! /<ns>/topic/<name>/trimmed             the greatest offset that retention has removed
//! ```

use std::num::NonZeroU32;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, percent_encode};
use tooz_core::driver::{Entry, Kind, Mode, NewName, Nonce, Offset, Roster, Seq};
use tooz_core::{Name, Result};

use crate::client::{KeyRange, KeyValue};
use crate::error::{NOT_WRITTEN_BY_DRIVER, corrupt};

/// The folder of topics.
pub(crate) const TOPICS: &str = "topic";

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: String,
}

impl Layout {
    /// `path` is the path of the URL, a prefix before the namespace.
    pub(crate) fn new(path: &str, namespace: &str) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty()).chain([namespace]);
        Self { root: segments.map(|segment| format!("/{}", escape(segment.as_bytes()))).collect() }
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
        format!("{}/declared/{}/{}", self.root, roster.kind, escape(roster.name.as_bytes())).into_bytes()
    }

    pub(crate) fn all_declared(&self, kind: Kind) -> KeyRange {
        KeyRange::under(format!("{}/declared/{kind}/", self.root))
    }

    pub(crate) fn roster(&self, roster: &Roster) -> RosterKeys {
        RosterKeys { prefix: format!("{}/{}/{}/", self.root, roster.kind, escape(roster.name.as_bytes())) }
    }

    /// All keys of the namespace.
    pub(crate) fn all(&self) -> KeyRange {
        KeyRange::under(format!("{}/", self.root))
    }

    /// The name that comes into use when this key is created, unless it was in use. Each segment of a topic counts, but no
    /// message.
    pub(crate) fn new_name(&self, key: &[u8]) -> Option<NewName> {
        let mut parts = std::str::from_utf8(key).ok()?.strip_prefix(&self.root)?.split('/').skip(1);
        let (kind, name) = match (parts.next()?, parts.next()?, parts.next()) {
            ("session" | "evicted", ..) => return None,
            ("topic", _, Some(part)) if part != "segment" => return None,
            ("declared", kind, Some(name)) => (kind, name),
            (kind, name, _) => (kind, name),
        };
        Some(NewName::new(kind, Name::new(unescape(name)?).ok()?))
    }

    /// The names in use under a [`Kind`], or under [`TOPICS`].
    pub(crate) fn names(&self, folder: &str) -> NamePrefix {
        NamePrefix { prefix: format!("{}/{folder}/", self.root) }
    }

    pub(crate) fn topic(&self, topic: &Name) -> TopicKeys {
        TopicKeys { prefix: format!("{}/{TOPICS}/{}", self.root, escape(topic.as_bytes())) }
    }
}

/// What keys begin with that have a name next: those of all rosters of a kind, or of all topics.
#[derive(Clone, Debug)]
pub(crate) struct NamePrefix {
    prefix: String,
}

impl NamePrefix {
    /// All keys, or those behind the keys of a name.
    pub(crate) fn behind(&self, name: Option<&Name>) -> KeyRange {
        let all = KeyRange::under(self.prefix.clone());
        match name {
            None => all,
            Some(name) => {
                let of_name = KeyRange::under(format!("{}{}/", self.prefix, escape(name.as_bytes())));
                KeyRange { start: of_name.end, end: all.end }
            }
        }
    }

    /// The name in a key; skips a key that has none.
    pub(crate) fn name_of(&self, key: &[u8]) -> Option<Name> {
        let rest = std::str::from_utf8(key.strip_prefix(self.prefix.as_bytes())?).ok()?;
        let (name, _) = rest.split_once('/')?;
        Name::new(unescape(name)?).ok()
    }

    /// The first key behind those of the name in `key`, or behind `key` if it has none.
    pub(crate) fn next_start(&self, key: &[u8]) -> Vec<u8> {
        match self.name_of(key) {
            Some(name) => self.behind(Some(&name)).start,
            None => [key, b"\0"].concat(),
        }
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

    /// The prefix of a session's keys of this mode and limit, and with this unique key; a number follows.
    pub(crate) fn key_prefix(&self, mode: Mode, unique: Option<&[u8]>, lease: i64, limit: NonZeroU32) -> Vec<u8> {
        let prefix = unique.map_or_else(|| self.mode(mode), |unique| self.unique(mode, unique));
        format!("{prefix}{lease:016x}.{limit}.").into_bytes()
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        key.starts_with(self.prefix.as_bytes())
    }

    /// The keys of entries with this unique key, one range for each mode.
    pub(crate) fn with_unique_key(&self, unique: &[u8]) -> [KeyRange; 3] {
        [Mode::Exclusive, Mode::Shared, Mode::Member].map(|mode| KeyRange::under(self.unique(mode, unique)))
    }

    /// The keys of entries that hold or wait. They are one range, since `s` comes before `x`.
    pub(crate) fn queue(&self) -> KeyRange {
        let end = KeyRange::under(self.mode(Mode::Exclusive)).end;
        KeyRange { start: self.mode(Mode::Shared).into_bytes(), end }
    }

    /// The keys of entries that conflict with one of `mode`. For a member, this is a range without keys.
    pub(crate) fn conflicting(&self, mode: Mode) -> KeyRange {
        match mode {
            Mode::Exclusive => self.queue(),
            Mode::Shared => KeyRange::under(self.mode(Mode::Exclusive)),
            _ => KeyRange::under(format!("{}none/", self.prefix)),
        }
    }

    /// Whether the entry with this key is an exclusive one with this limit.
    pub(crate) fn is_exclusive(&self, key: &[u8], limit: NonZeroU32) -> bool {
        matches!(self.parse_key(key), Some((Mode::Exclusive, _, of_key)) if of_key == Some(limit))
    }

    /// Reads an entry back, or skips a key that no entry can have. An entry whose value cannot be read stays visible, with
    /// its seq as its nonce, so that an operator can evict it.
    pub(crate) fn parse(&self, stored: &KeyValue) -> Option<Entry> {
        let parsed = self.parse_key(stored.key());
        let value = parse_value(stored.value());
        if parsed.is_none() || value.is_none() {
            tracing::warn!(key = %stored.key().escape_ascii(), "{NOT_WRITTEN_BY_DRIVER}");
        }
        let (mode, key, limit) = parsed?;
        let seq = seq(stored);
        let (nonce, value) = value.unwrap_or((Nonce(seq.0.into()), stored.value()));
        Some(Entry { seq, nonce, key, mode, limit: limit.unwrap_or(NonZeroU32::MIN), value: value.to_vec() })
    }

    /// The mode, the unique key and the limit of the entry with this key.
    fn parse_key(&self, key: &[u8]) -> Option<(Mode, Option<Vec<u8>>, Option<NonZeroU32>)> {
        let rest = key.strip_prefix(self.prefix.as_bytes())?;
        let mut parts = std::str::from_utf8(rest).ok()?.split('/');
        let mode = Mode::parse(parts.next()?)?;
        let (unique, own) = match (parts.next()?, parts.next(), parts.next()) {
            (own, None, _) => (None, own),
            (unique, Some(own), None) => (Some(unescape(unique)?), own),
            _ => return None,
        };
        Some((mode, unique, own.split('.').nth(1).and_then(|limit| limit.parse().ok())))
    }

    fn mode(&self, mode: Mode) -> String {
        format!("{}{}/", self.prefix, mode.as_str())
    }

    fn unique(&self, mode: Mode, unique: &[u8]) -> String {
        format!("{}{}/", self.mode(mode), escape(unique))
    }
}

/// The create revision, which is the fencing token.
pub(crate) fn seq(stored: &KeyValue) -> Seq {
    Seq(stored.create_revision().unsigned_abs())
}

/// The create revision that a seq stands for.
pub(crate) fn revision(seq: Seq) -> i64 {
    // Revisions are positive, so a seq that is none compares unequal to all of them.
    i64::try_from(seq.0).unwrap_or(-1)
}

/// The value of an entry's key.
pub(crate) fn entry_value(nonce: Nonce, value: &[u8]) -> Vec<u8> {
    [format!("{nonce}\n").as_bytes(), value].concat()
}

/// Splits the value of an entry's key.
pub(crate) fn parse_value(stored: &[u8]) -> Option<(Nonce, &[u8])> {
    let at = stored.iter().position(|byte| *byte == b'\n')?;
    Some((Nonce::parse(std::str::from_utf8(&stored[..at]).ok()?)?, &stored[at + 1..]))
}

/// The keys of one topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicKeys {
    prefix: String,
}

impl TopicKeys {
    pub(crate) fn trimmed(&self) -> Vec<u8> {
        format!("{}/trimmed", self.prefix).into_bytes()
    }

    pub(crate) fn segment(&self, number: u64) -> Vec<u8> {
        format!("{}/segment/{number:020}", self.prefix).into_bytes()
    }

    pub(crate) fn segments(&self) -> KeyRange {
        KeyRange::under(format!("{}/segment/", self.prefix))
    }

    /// The segments from `first` to `last`. Exactly the keys that exist, since etcd passes deleted ones until it is
    /// compacted.
    pub(crate) fn segment_range(&self, first: u64, last: u64) -> KeyRange {
        KeyRange { start: self.segment(first), end: [&*self.segment(last), b"\0"].concat() }
    }

    /// The key of a message, with a number that the session uses once.
    pub(crate) fn message(&self, segment: u64, lease: i64, number: u64) -> Vec<u8> {
        format!("{}/message/{segment:020}/{lease:016x}.{number:x}", self.prefix).into_bytes()
    }

    /// The messages of the segments from `first` to `last`.
    pub(crate) fn messages(&self, first: u64, last: u64) -> KeyRange {
        let segment = |number| KeyRange::under(format!("{}/message/{number:020}/", self.prefix));
        KeyRange { start: segment(first).start, end: segment(last).end }
    }

    pub(crate) fn all_messages(&self) -> KeyRange {
        KeyRange::under(format!("{}/message/", self.prefix))
    }
}

/// The revision that an offset stands for. No message comes after the greatest one.
pub(crate) fn revision_of(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}

/// The greatest offset that retention has removed; before it has removed anything there is no key.
pub(crate) fn parse_trimmed(stored: Option<&KeyValue>) -> Result<Offset> {
    let Some(stored) = stored else { return Ok(Offset(0)) };
    let parsed = std::str::from_utf8(stored.value()).ok().and_then(|value| value.parse().ok());
    parsed.map(Offset).ok_or_else(|| corrupt(stored.key()))
}

/// The name that a key of [`Layout::all_declared`] ends with; skips a key that ends with none.
pub(crate) fn declared_name(stored: &KeyValue) -> Option<Name> {
    parse_last(stored.key(), |name| Name::new(unescape(name)?).ok())
}

/// Parses the part of a key behind the last slash; skips a key that does not end so.
pub(crate) fn parse_last<T>(key: &[u8], parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let last = key.rsplit(|byte| *byte == b'/').next()?;
    let parsed = std::str::from_utf8(last).ok().and_then(parse);
    if parsed.is_none() {
        tracing::warn!(key = %key.escape_ascii(), "{NOT_WRITTEN_BY_DRIVER}");
    }
    parsed
}

/// All bytes but those that are harmless in a key and a shell.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'@');

fn escape(bytes: &[u8]) -> PercentEncode<'_> {
    percent_encode(bytes, ESCAPED)
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    (escape(&bytes).to_string() == text).then_some(bytes)
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
