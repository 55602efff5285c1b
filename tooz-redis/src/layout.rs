//! How keys are built. Everything of a namespace has the prefix `{namespace}:`, whose braces keep it in one hash slot.
//!
//! | key | what |
//! |---|---|
//! | `{ns}:seq` | the last number that was given to an entry or a message |
//! | `{ns}:sessions` | set of session ids |
//! | `{ns}:session:<id>` | the member's name; it lives as long as the session. Also the session's channel |
//! | `{ns}:session:<id>:entries` | set of `<key of the roster> <nonce>`, what the session has entered; or the key only, of a roster where it stands alone or did so |
//! | `{ns}:session:<id>:withdrawn:<nonce>` | bars a nonce of the session for some minutes |
//! | `{ns}:<kind>:<name>` | hash, nonce to record. Also the roster's channel |
//! | `{ns}:<kind>:<name>:x`, `:s`, `:m` | sorted sets, seq to `<nonce> <session>`, one a mode |
//! | `{ns}:<kind>:<name>:waiting`, `:limits` | sorted sets of those that wait: by seq, and by their limit |
//! | `{ns}:<kind>:<name>:keys` | hash, unique key to nonce |
//! | `{ns}:<kind>:<name>:heed` | there while somebody may be watching the roster, or a nonce is barred from it |
//! | `{ns}:declared:<kind>` | set of the names of declared rosters |
//! | `{ns}:topic:<name>`, `:trimmed` | stream of messages, also the topic's channel; the greatest offset removed |

use std::num::NonZeroU32;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use tooz_core::driver::{Entry, Kind, Mode, Nonce, Roster, Seq};
use tooz_core::{Error, ErrorKind, Name, Result};

/// Colons, braces, spaces and the like have a meaning in keys and records.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'@');

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    prefix: String,
}

impl Layout {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { prefix: format!("{{{}}}:", escape(namespace.as_bytes())) }
    }

    /// A session's key and channel.
    pub(crate) fn session(&self, id: &str) -> String {
        format!("{}session:{id}", self.prefix)
    }

    /// A roster's key and channel.
    pub(crate) fn roster(&self, roster: &Roster) -> String {
        let mut key = [&self.prefix, roster.kind.as_str(), ":"].concat();
        key.extend(percent_encode(roster.name.as_bytes(), ESCAPED));
        key
    }

    /// A topic's key and channel.
    pub(crate) fn topic(&self, topic: &Name) -> String {
        format!("{}topic:{}", self.prefix, escape(topic.as_bytes()))
    }

    /// The set of declared names.
    pub(crate) fn declared(&self, kind: Kind) -> String {
        format!("{}declared:{}", self.prefix, kind.as_str())
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

/// Reads a record of a roster's hash: `seq mode limit session key-length ` and then the key and the value.
pub(crate) fn parse_record(nonce: &[u8], record: &[u8]) -> Result<Entry> {
    parse(nonce, record).ok_or_else(|| {
        let shown = String::from_utf8_lossy(record).into_owned();
        Error::new(ErrorKind::Corrupt, "a record of the roster cannot be understood").with_context("record", shown)
    })
}

fn parse(nonce: &[u8], record: &[u8]) -> Option<Entry> {
    let nonce = Nonce::parse(std::str::from_utf8(nonce).ok()?)?;
    let mut fields = record.splitn(6, |byte| *byte == b' ');
    let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let seq = Seq(text()?.parse().ok()?);
    let mode = Mode::parse(text()?)?;
    let limit: NonZeroU32 = text()?.parse().ok()?;
    let _session = text()?;
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
    use super::*;

    #[test]
    fn a_namespace_cannot_break_out_of_its_hash_tag() {
        let layout = Layout::new("a}b:c");
        assert_eq!(layout.session("1"), "{a%7Db%3Ac}:session:1");
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
        let nonce = Nonce(7).to_string();
        let entry = parse_record(nonce.as_bytes(), b"12 m 1 ab 3 k k\0 v\xff").unwrap();
        assert_eq!((entry.seq, entry.mode, entry.limit.get()), (Seq(12), Mode::Member, 1));
        assert_eq!((entry.key, entry.value), (Some(b"k k".to_vec()), b"\0 v\xff".to_vec()));
        assert!(parse_record(nonce.as_bytes(), b"12 m 1 ab 9 short").is_err());
    }
}
