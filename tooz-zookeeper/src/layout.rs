//! The keys: `<chroot>/<namespace>/<kind>/<name>/<entry>`, and how names become znodes and back.

use std::num::NonZeroU32;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use tooz_core::Name;
use tooz_core::driver::{Kind, Mode, NewEntry, Nonce, Offset, Roster};

/// The characters that are escaped as `%XX` in the name of a znode, among them `/`, NUL and `:`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// What stands for topics where rosters have their kind.
const TOPIC: &str = "topic";

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

    /// The ephemeral znode that renewals of a session rewrite.
    pub(crate) fn heartbeat(&self, id: Nonce) -> String {
        format!("{}/session/{id}", self.root)
    }

    /// The parent of all topics.
    pub(crate) fn topics(&self) -> String {
        format!("{}/{TOPIC}", self.root)
    }

    /// The parent of a topic's messages.
    pub(crate) fn topic(&self, topic: &Name) -> String {
        format!("{}/{TOPIC}/{}", self.root, escape(topic.as_bytes()))
    }
}

/// The data version of a roster's znode that was not declared. Declaring a roster rewrites the data once.
pub(crate) const UNDECLARED: i32 = 0;

/// The data version of an entry whose value was not replaced, and whose admission was not announced.
pub(crate) const UNCHANGED: i32 = 0;

/// The path of a child.
pub(crate) fn child(parent: &str, name: &str) -> String {
    format!("{parent}/{name}")
}

/// The path of the parent.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The path with which an entry is created; ZooKeeper appends the number.
pub(crate) fn new_entry(roster: &str, new: &NewEntry<'_>) -> String {
    let key = new.unique_key().map(|(key, _)| format!("{}:", escape(key))).unwrap_or_default();
    format!("{roster}/{}:{}:{}:{key}", new.mode.as_str(), new.limit, new.nonce)
}

/// The path with which a message is created; ZooKeeper appends the number.
pub(crate) fn message_prefix(topic: &str) -> String {
    format!("{topic}/m-")
}

/// The greatest offset: ZooKeeper's numbers are 31 bits long.
pub(crate) const LAST_OFFSET: Offset = Offset(1 << 31);

/// The path of a message. The first message has offset 1 and ZooKeeper's number 0.
pub(crate) fn message(topic: &str, offset: Offset) -> String {
    format!("{topic}/m-{:010}", offset.0.saturating_sub(1))
}

/// The offset of the message with this path or name; `None` if it is not one, or if ZooKeeper's numbers have wrapped around.
pub(crate) fn offset(path: &str) -> Option<Offset> {
    let number: i32 = path.rsplit_once("m-")?.1.parse().ok()?;
    Some(Offset(u64::try_from(number).ok()? + 1))
}

/// Every path from the first component down to `path` itself.
pub(crate) fn ancestry(path: &str) -> Vec<&str> {
    path.match_indices('/').skip(1).map(|(at, _)| &path[..at]).chain([path]).collect()
}

/// The parts of the name of an entry's znode: `<mode>:<limit>:<nonce>:[<key>:]<number>`.
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
    /// Reads a name; `None` if the driver did not write it.
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

/// The name of a znode for any bytes. `.`, `..` and `zookeeper` mean something else to ZooKeeper.
fn escape(bytes: &[u8]) -> String {
    match bytes {
        b"." => "%2E".to_owned(),
        b".." => "%2E%2E".to_owned(),
        b"zookeeper" => "%7Aookeeper".to_owned(),
        _ => percent_encode(bytes, ESCAPED).to_string(),
    }
}

/// The name that a child of `parent` stands for; skips a znode of another program.
pub(crate) fn name_of(parent: &str, znode: &str) -> Option<Name> {
    let name = Name::new(unescape(znode)).ok();
    if name.is_none() {
        tracing::warn!(parent, znode, "skipped a znode whose name is not valid");
    }
    name
}

/// The names of znodes in their order, without those up to the one of `after`.
pub(crate) fn sorted_behind(mut znodes: Vec<String>, after: Option<&Name>) -> Vec<String> {
    let after = after.map(|name| escape(name.as_bytes()));
    znodes.retain(|znode| after.as_ref().is_none_or(|after| znode > after));
    znodes.sort_unstable();
    znodes
}

/// The inverse of [`escape`].
pub(crate) fn unescape(name: &str) -> Vec<u8> {
    percent_decode_str(name).collect()
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
        fn any_name_is_read_or_refused(text in any::<String>(), near in "[xsmz]?:[0-9-]{0,11}:[0-9a-f]{0,33}(:[%a-f0-9]{0,9})?:[0-9-]{0,12}") {
            for name in [&text, &near] {
                let _ = (EntryName::parse(name), offset(name), unescape(name), parent(name), ancestry(name));
            }
        }

        #[test]
        fn entries_come_back(
            key in prop::option::of(bytes()), nonce: u128, limit in 1..=u32::MAX, number: i32,
        ) {
            let unique = key.as_deref().map_or(Key::Nonce, |key| Key::Unique(key, IfTaken::Refuse));
            let (nonce, limit) = (Nonce(nonce), limit.try_into().unwrap());
            let new = NewEntry {
                nonce,
                key: unique,
                mode: Mode::Member,
                limit,
                if_blocked: IfBlocked::Wait,
                needs_declared: false,
                value: b"",
            };
            let path = format!("{}{number:010}", new_entry("/r", &new));
            let name = EntryName::parse(path.strip_prefix("/r/").unwrap());
            prop_assert_eq!(name, Some(EntryName { mode: Mode::Member, limit, nonce, key, number }));
        }

        #[test]
        fn names_and_offsets_come_back(name in bytes(), number in 1..=LAST_OFFSET.0) {
            prop_assert_eq!(unescape(&escape(&name)), name);
            prop_assert_eq!(offset(&message("/t", Offset(number))), Some(Offset(number)));
        }
    }

    #[test]
    fn names_of_any_bytes_are_distinct_and_read_back() {
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
            let name = EntryName::parse(
                new_entry("/r", &new).strip_prefix("/r/").map(|name| format!("{name}{number:010}")).as_deref().unwrap(),
            )
            .unwrap();
            assert_eq!((name.mode, name.limit, name.nonce, name.number), (new.mode, new.limit, new.nonce, number));
            assert_eq!(name.key.is_some(), key != Key::Nonce);
        }
        assert_eq!(EntryName::parse("lock-0000000001"), None);
    }

    #[test]
    fn offsets_end_where_the_numbers_turn_negative() {
        for expected in [1, 2, LAST_OFFSET.0] {
            assert_eq!(offset(&message("/t", Offset(expected))), Some(Offset(expected)));
        }
        assert_eq!(message("/t", Offset(1)), "/t/m-0000000000");
        assert_eq!(offset("/t/m--2147483648"), None);
    }

    #[test]
    fn ancestry_goes_down_to_the_path() {
        assert_eq!(ancestry("/a/b/c"), ["/a", "/a/b", "/a/b/c"]);
    }
}
