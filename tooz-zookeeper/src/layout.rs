//! Where everything stands: `<chroot>/<namespace>/<kind>/<name>/<entry>`, and how names become znodes and back.

use std::num::NonZeroU32;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use tooz_core::Name;
use tooz_core::driver::{Kind, Mode, NewEntry, Nonce, Offset, Roster};

/// What a znode's name keeps as it is. Everything else is written as `%XX`, so `/`, NUL and `:` never appear.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// The paths of one namespace.
#[derive(Debug)]
pub(crate) struct Layout {
    root: String,
}

impl Layout {
    pub(crate) fn new(chroot: &str, namespace: &str) -> Self {
        Self { root: format!("{chroot}/{}", escape(namespace.as_bytes())) }
    }

    /// The parent of all rosters of a kind.
    pub(crate) fn kind(&self, kind: Kind) -> String {
        format!("{}/{kind}", self.root)
    }

    /// The parent of a roster's entries.
    pub(crate) fn roster(&self, roster: &Roster) -> String {
        format!("{}/{}/{}", self.root, roster.kind, escape(roster.name.as_bytes()))
    }

    /// The ephemeral znode that tells who was admitted last in a long line; beside the rosters, since it is no entry.
    pub(crate) fn turn(&self, roster: &str) -> String {
        let name = roster.strip_prefix(&self.root).unwrap_or(roster).trim_start_matches('/').replace('/', ":");
        format!("{}/turn/{name}", self.root)
    }

    /// The ephemeral znode that a session writes to when it is renewed.
    pub(crate) fn heartbeat(&self, id: Nonce) -> String {
        format!("{}/session/{id}", self.root)
    }

    /// The parent of a topic's messages.
    pub(crate) fn topic(&self, topic: &Name) -> String {
        format!("{}/topic/{}", self.root, escape(topic.as_bytes()))
    }
}

/// What the messages of a topic are created as; ZooKeeper appends the number.
pub(crate) fn message_prefix(topic: &str) -> String {
    format!("{topic}/m-")
}

/// The path of a message. The first has offset 1 and ZooKeeper's number 0; past 2^31 the numbers are negative, as Java's.
pub(crate) fn message(topic: &str, offset: Offset) -> String {
    format!("{topic}/m-{:010}", (offset.0 as u32).wrapping_sub(1) as i32)
}

/// The offset of the message with this path or name.
pub(crate) fn offset(path: &str) -> Option<Offset> {
    let number: i32 = path.rsplit_once("m-")?.1.parse().ok()?;
    Some(Offset(u64::from(number as u32) + 1))
}

/// Every path from the first component down to `path` itself.
pub(crate) fn ancestry(path: &str) -> Vec<&str> {
    path.match_indices('/').skip(1).map(|(at, _)| &path[..at]).chain([path]).collect()
}

/// What the name of an entry's znode says: `<mode>:<limit>:<nonce>:[<key>:]<number>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryName {
    pub(crate) mode: Mode,
    pub(crate) limit: NonZeroU32,
    pub(crate) nonce: Nonce,
    pub(crate) key: Option<Vec<u8>>,
    /// ZooKeeper's sequence number. It wraps, and restarts when the parent was removed.
    pub(crate) number: i32,
}

impl EntryName {
    /// What the entry is created as; ZooKeeper appends the number.
    pub(crate) fn prefix(new: &NewEntry<'_>) -> String {
        let key = new.unique_key().map(|(key, _)| format!("{}:", escape(key))).unwrap_or_default();
        format!("{}:{}:{}:{key}", new.mode.as_str(), new.limit, new.nonce)
    }

    /// Reads a name; `None` if it is not one of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (rest, number) = name.rsplit_once(':')?;
        let mut parts = rest.splitn(4, ':');
        let mode = Mode::parse(parts.next()?)?;
        let limit = parts.next()?.parse().ok()?;
        let nonce = Nonce::parse(parts.next()?)?;
        let key = parts.next().map(unescape);
        Some(Self { mode, limit, nonce, key, number: number.parse().ok()? })
    }
}

/// A znode name that stands for any bytes. `.`, `..` and `zookeeper` mean something else to ZooKeeper.
pub(crate) fn escape(bytes: &[u8]) -> String {
    match bytes {
        b"." => "%2E".to_owned(),
        b".." => "%2E%2E".to_owned(),
        b"zookeeper" => "%7Aookeeper".to_owned(),
        _ => percent_encode(bytes, ESCAPED).to_string(),
    }
}

/// What [`escape`] was given.
pub(crate) fn unescape(name: &str) -> Vec<u8> {
    percent_decode_str(name).collect()
}

#[cfg(test)]
mod tests {
    use tooz_core::driver::{IfBlocked, IfTaken, Key};

    use super::*;

    #[test]
    fn any_bytes_survive_and_stay_apart() {
        let long = vec![0xff; 512];
        let names: [&[u8]; 10] =
            [b"a", b"a/b", b"%61", b".", b"..", b"zookeeper", b"\0", "ü:".as_bytes(), b"a%2Fb", &long];
        for name in names {
            let escaped = escape(name);
            assert_eq!(unescape(&escaped), name);
            assert!(!escaped.contains(['/', '\0', ':']) && !matches!(&*escaped, "." | ".." | "zookeeper"), "{escaped}");
        }
    }

    #[test]
    fn entry_names_are_read_back() {
        for (key, number) in [(Key::Nonce, 12), (Key::Unique(b"a:b/", IfTaken::Refuse), i32::MIN), (Key::Nonce, -1)] {
            let new = NewEntry {
                nonce: Nonce::random(),
                key,
                mode: Mode::Shared,
                limit: NonZeroU32::MAX,
                if_blocked: IfBlocked::Wait,
                needs_declared: false,
                value: b"",
            };
            // Java's %010d, which ZooKeeper uses, counts the sign as one of the ten.
            let name = EntryName::parse(&format!("{}{number:010}", EntryName::prefix(&new))).unwrap();
            assert_eq!((name.mode, name.limit, name.nonce, name.number), (new.mode, new.limit, new.nonce, number));
            assert_eq!(name.key.is_some(), key != Key::Nonce);
        }
        assert_eq!(EntryName::parse("lock-0000000001"), None);
    }

    #[test]
    fn offsets_go_on_where_the_numbers_turn_negative() {
        for offset_ in [1, 2, 1 << 31, (1 << 31) + 1, u64::from(u32::MAX)] {
            assert_eq!(offset(&message("/t", Offset(offset_))), Some(Offset(offset_)));
        }
        assert_eq!(message("/t", Offset(1)), "/t/m-0000000000");
        assert_eq!(message("/t", Offset((1 << 31) + 1)), "/t/m--2147483648");
    }

    #[test]
    fn ancestry_goes_down_to_the_path() {
        assert_eq!(ancestry("/a/b/c"), ["/a", "/a/b", "/a/b/c"]);
    }
}
