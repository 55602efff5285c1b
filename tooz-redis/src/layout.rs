//! The keys of a namespace and the format of their values. The keys of a shard have one prefix, `{namespace}:` in the first;
//! the braces keep them in one hash slot. Each shard has all of these keys, and the rosters and topics that fall to it.
//! `scripts/lib` derives further keys from these.
//!
//! | key | content |
//! |---|---|
//! | `{ns}:seq` | the last number of the sequence, which numbers entries and messages |
//! | `{ns}:shards` | the number of shards, which the first session decides |
//! | `{ns}:history` | a random name that the first session gives to the data |
//! | `{ns}:sessions` | sorted set of session ids, by a time before which the session cannot be over |
//! | `{ns}:session:<id>` | the member's name; the session lives as long as this key. `<id>` begins with the id of the client |
//! | `{ns}:client:<id>` | no key, the channel of a client: the connections that sessions of a process share |
//! | `{ns}:session:<id>:entries` | hash of the session's entries, `nonce roster` to `seq mode limit` |
//! | `{ns}:session:<id>:withdrawn:<nonce>` | tombstone of a withdrawn entry |
//! | `{ns}:<kind>:<name>`, `:shared`, `:members` | sorted sets of records by seq, one for each mode. The first is also the channel of the roster |
//! | `{ns}:<kind>:<name>:waiting`, `:limits` | sorted sets of the entries that wait, `seq mode limit`, by seq and by limit |
//! | `{ns}:<kind>:<name>:keys` | hash, unique key to `seq mode limit` |
//! | `{ns}:<kind>:<name>:version` | the version after the last change; exists while clients follow the roster |
//! | `{ns}:declared:<kind>` | set of the names of declared rosters |
//! | `{ns}:names` | the rosters with entries and the topics, `kind:name`: a sorted set with score 0 |
//! | `{ns}:names:new` | channel of the names that come into use, `kind:name`: that of a roster whose changes they are |
//! | `{ns}:topic:<name>`, `:trimmed` | stream of messages, also the channel of the topic; the greatest offset that retention removed |

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use tooz_core::driver::{Entry, Kind, Mode, NewEntry, NewName, Nonce, Roster, Seq, Ticket};
use tooz_core::{Error, ErrorKind, Name, Result};

use crate::client::hash_slot;

/// Colons, braces and spaces separate the parts of keys and records.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'@');

/// The life of a tombstone: longer than a request may stay in the buffers of a dying connection.
pub(crate) const TOMBSTONE_TTL: Duration = Duration::from_secs(300);

/// How many hash slots there are.
const SLOTS: usize = 16_384;

/// The keys of one namespace, which are spread over shards: a hash tag for each.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    prefixes: Vec<String>,
}

/// A key and its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardKey {
    pub(crate) shard: usize,
    pub(crate) name: String,
}

impl Layout {
    /// The first shard has the name of the namespace as its tag. The others have a number behind it: the first one that leads
    /// into another of as many equal ranges of slots, since the masters of a cluster have such ranges.
    pub(crate) fn new(namespace: &str, shards: usize) -> Self {
        let namespace = escape(namespace.as_bytes());
        let numbered = (1..).map(|number: u32| format!("{namespace}#{number}"));
        let mut ranges = HashSet::new();
        let tags = std::iter::once(namespace.clone()).chain(numbered);
        let tags = tags.filter(|tag| ranges.insert(usize::from(hash_slot(tag.as_bytes())) * shards / SLOTS));
        Self { prefixes: tags.take(shards).map(|tag| format!("{{{tag}}}:")).collect() }
    }

    /// The numbers of the shards.
    pub(crate) fn shards(&self) -> Range<usize> {
        0..self.prefixes.len()
    }

    /// Whether a key belongs to a shard.
    pub(crate) fn is_in(&self, shard: usize, key: &str) -> bool {
        key.starts_with(&self.prefixes[shard])
    }

    /// A client's channel in a shard.
    pub(crate) fn client(&self, shard: usize, id: &str) -> String {
        format!("{}client:{id}", self.prefixes[shard])
    }

    /// A session's key in a shard.
    pub(crate) fn session(&self, shard: usize, id: &str) -> String {
        format!("{}session:{id}", self.prefixes[shard])
    }

    /// A roster's key and channel.
    pub(crate) fn roster(&self, roster: &Roster) -> ShardKey {
        self.spread(roster.kind.as_str(), &roster.name)
    }

    /// The key that is followed as a roster to learn of new names in a shard.
    pub(crate) fn new_names(&self, shard: usize) -> ShardKey {
        self.in_shard(shard, "names:new")
    }

    /// The list of the names in use in a shard.
    pub(crate) fn names(&self, shard: usize) -> ShardKey {
        self.in_shard(shard, "names")
    }

    /// A topic's key and channel.
    pub(crate) fn topic(&self, topic: &Name) -> ShardKey {
        self.spread("topic", topic)
    }

    /// The set of declared names in a shard.
    pub(crate) fn declared(&self, shard: usize, kind: Kind) -> String {
        format!("{}declared:{}", self.prefixes[shard], kind.as_str())
    }

    /// The key of a roster or topic. Its slot, without the tag of the shard, chooses the shard.
    fn spread(&self, kind: &str, name: &Name) -> ShardKey {
        let mut key = [kind, ":"].concat();
        key.extend(percent_encode(name.as_bytes(), ESCAPED));
        self.in_shard(usize::from(hash_slot(key.as_bytes())) % self.prefixes.len(), &key)
    }

    fn in_shard(&self, shard: usize, key: &str) -> ShardKey {
        ShardKey { shard, name: [&self.prefixes[shard], key].concat() }
    }
}

/// Writes any bytes with letters, digits, `-_./@` and percent signs only.
pub(crate) fn escape(bytes: &[u8]) -> String {
    percent_encode(bytes, ESCAPED).to_string()
}

/// Reads what [`escape`] wrote.
pub(crate) fn unescape(text: &[u8]) -> Result<Name> {
    Name::new(percent_decode(text).collect::<Vec<_>>())
}

/// Reads `kind:name`.
pub(crate) fn new_name(listed: &[u8]) -> Result<NewName> {
    let mut parts = listed.splitn(2, |byte| *byte == b':');
    let kind = String::from_utf8_lossy(parts.next().unwrap_or_default());
    Ok(NewName::new(&kind, unescape(parts.next().unwrap_or_default())?))
}

/// A record without its seq: `nonce session mode limit key-length `, then the unique key and the value.
pub(crate) fn record(entry: &NewEntry<'_>, session: &str) -> Vec<u8> {
    let key = entry.unique_key().map(|(key, _)| key);
    let length = key.map_or_else(|| "-".to_owned(), |key| key.len().to_string());
    let (nonce, limit) = (entry.nonce.to_string(), entry.limit.to_string());
    let head = [&nonce, " ", session, " ", entry.mode.as_str(), " ", &limit, " ", &length, " "].concat();
    [head.as_bytes(), key.unwrap_or_default(), entry.value].concat()
}

/// How the record of an entry begins: `seq nonce session mode limit `.
pub(crate) fn ticket(ticket: &Ticket, session: &str) -> String {
    let (seq, nonce, limit) = (ticket.seq.0.to_string(), ticket.nonce.to_string(), ticket.limit.to_string());
    [&seq, " ", &nonce, " ", session, " ", ticket.mode.as_str(), " ", &limit, " "].concat()
}

/// Reads a record: its seq, a space, and what [`record`] wrote.
pub(crate) fn parse_record(record: &[u8]) -> Result<Entry> {
    parse(record).ok_or_else(|| {
        let shown = String::from_utf8_lossy(record).into_owned();
        Error::new(ErrorKind::Corrupt, "the roster holds a record that cannot be read").with_context("record", shown)
    })
}

fn parse(record: &[u8]) -> Option<Entry> {
    let mut fields = record.splitn(7, |byte| *byte == b' ');
    let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let seq = Seq(text()?.parse().ok()?);
    let nonce = Nonce::parse(text()?)?;
    let _session = text()?;
    let mode = Mode::parse(text()?)?;
    let limit: NonZeroU32 = text()?.parse().ok()?;
    let length = text()?;
    let rest = fields.next()?;
    let (key, value) = match length {
        "-" => (None, rest),
        length => rest.split_at_checked(length.parse().ok()?).map(|(key, value)| (Some(key.to_vec()), value))?,
    };
    Some(Entry { seq, nonce, key, mode, limit, value: value.to_vec() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tooz_core::driver::{IfBlocked, IfTaken, Key};

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..64)
    }

    proptest! {
        #[test]
        fn any_record_is_read_or_refused(record in bytes()) {
            let _ = parse_record(&record);
        }

        #[test]
        fn almost_a_record_is_read_or_refused(record in "[0-9]{0,21} [0-9a-f]{0,33} [a-z]{0,2} [xsmz]? [0-9-]{0,11} [0-9-]{0,21} ?.{0,9}") {
            let _ = parse_record(record.as_bytes());
        }

        #[test]
        fn records_come_back(
            seq: u64, nonce: u128, limit in 1..=u32::MAX, key in prop::option::of(bytes()), value in bytes(),
        ) {
            let unique = key.as_deref().map_or(Key::Nonce, |key| Key::Unique(key, IfTaken::Refuse));
            let new = NewEntry {
                nonce: Nonce(nonce),
                key: unique,
                mode: Mode::Member,
                limit: limit.try_into().unwrap(),
                if_blocked: IfBlocked::Wait,
                needs_declared: false,
                value: &value,
            };
            let written = [format!("{seq} ").as_bytes(), &record(&new, "1a")].concat();
            let entry = parse_record(&written).unwrap();
            prop_assert_eq!((entry.seq.0, entry.nonce.0, entry.limit.get()), (seq, nonce, limit));
            prop_assert_eq!((entry.mode, &entry.key, &entry.value), (Mode::Member, &key, &value));
            prop_assert!(written.starts_with(ticket(&new.ticket(Seq(seq)), "1a").as_bytes()));
        }

        #[test]
        fn any_text_is_a_name_or_refused(text in bytes()) {
            let _ = unescape(&text);
        }

        #[test]
        fn names_are_escaped_and_come_back(name in prop::collection::vec(any::<u8>(), 1..64)) {
            let read = unescape(escape(&name).as_bytes()).unwrap();
            prop_assert_eq!(read.as_bytes(), &name[..]);
        }
    }

    #[test]
    fn a_namespace_cannot_break_out_of_its_hash_tag() {
        let layout = Layout::new("a}b:c", 1);
        assert_eq!(layout.session(0, "1"), "{a%7Db%3Ac}:session:1");
    }

    #[test]
    fn the_shards_are_in_equal_ranges_of_slots_and_each_has_its_share_of_the_names() {
        for shards in [1, 3, 64, 256] {
            let layout = Layout::new("tooz", shards);
            assert_eq!(layout.session(0, "1"), "{tooz}:session:1");
            let slot = |shard| hash_slot(layout.session(shard, "1").as_bytes());
            let ranges: HashSet<_> = layout.shards().map(|shard| usize::from(slot(shard)) * shards / SLOTS).collect();
            assert_eq!(ranges.len(), shards);
            let mut names = vec![0; shards];
            for number in 0..100 * shards {
                let name = Name::new(format!("{number}")).unwrap();
                names[layout.roster(&Roster { kind: Kind::Lock, name }).shard] += 1;
            }
            assert!(names.iter().all(|count| (40..200).contains(count)), "{names:?}");
        }
    }

    #[test]
    fn names_come_back_unchanged() {
        let bytes: Vec<u8> = (0..=255).collect();
        let escaped = escape(&bytes);
        assert!(!escaped.contains([':', ' ', '{', '}']));
        assert_eq!(unescape(escaped.as_bytes()).unwrap().as_bytes(), bytes);
    }

    #[test]
    fn records_hold_any_key_and_value() {
        let nonce = Nonce(7);
        let head = format!("12 {nonce} ab m 1");
        let entry = parse_record(&[head.as_bytes(), b" 3 k k\0 v\xff"].concat()).unwrap();
        assert_eq!((entry.seq, entry.nonce, entry.mode, entry.limit.get()), (Seq(12), nonce, Mode::Member, 1));
        assert_eq!((entry.key, entry.value), (Some(b"k k".to_vec()), b"\0 v\xff".to_vec()));
        assert!(parse_record(format!("{head} 9 short").as_bytes()).is_err());
    }
}
