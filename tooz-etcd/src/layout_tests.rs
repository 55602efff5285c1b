//! Tests of the layout: keys and values are read back as they were written, and others are refused.

use proptest::prelude::*;

use super::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
}

proptest! {
    #[test]
    fn any_key_and_value_is_read_or_refused(key in bytes(), value in bytes(), text in "[xsmz/%0-9a-f.]{0,40}") {
        let layout = Layout::new("", "ns");
        let keys = layout.roster(&roster(b"n"));
        for rest in [&key[..], text.as_bytes()] {
            let under = [b"/ns/lock/n/", rest].concat();
            for key in [rest, &under] {
                let _ = (keys.parse_key(key), parse_last(key, |digits| digits.parse::<u64>().ok()), keys.contains(key));
                let _ = (parse_last(key, Nonce::parse), parse_last(key, |name| Name::new(unescape(name)?).ok()));
            }
            let _ = std::str::from_utf8(rest).map(unescape);
        }
        let _ = (parse_value(&value), parse_value(text.as_bytes()));
    }

    #[test]
    fn entries_come_back(
        unique in prop::option::of(bytes()), lease: i64, nonce: u128, limit in 1..=u32::MAX, value in bytes(),
    ) {
        let (keys, limit) = (Layout::new("/a", "ns").roster(&roster(b"n/x")), limit.try_into().unwrap());
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Member] {
            let key = [&keys.key_prefix(mode, unique.as_deref(), lease, limit)[..], b"7"].concat();
            prop_assert_eq!(keys.parse_key(&key), Some((mode, unique.clone(), Some(limit))));
        }
        let written = entry_value(Nonce(nonce), &value);
        prop_assert_eq!(parse_value(&written), Some((Nonce(nonce), &value[..])));
    }

    #[test]
    fn numbers_and_names_come_back(number: u64, name in prop::collection::vec(any::<u8>(), 1..64)) {
        let (layout, name) = (Layout::new("", "ns"), Name::new(name).unwrap());
        let topic = layout.topic(&name);
        prop_assert_eq!(parse_last(&topic.segment(number), |digits| digits.parse().ok()), Some(number));
        let key = layout.declared(&Roster { kind: Kind::Group, name: name.clone() });
        prop_assert_eq!(parse_last(&key, |name| Name::new(unescape(name)?).ok()), Some(name));
        prop_assert_eq!(parse_last(&layout.eviction(9, Nonce(7)), Nonce::parse), Some(Nonce(7)));
    }
}

fn roster(name: &[u8]) -> Roster {
    Roster { kind: Kind::Lock, name: Name::new(name).unwrap() }
}

#[test]
fn names_cannot_reach_into_each_other() {
    let layout = Layout::new("/prod/x y", "a/b");
    let keys = layout.roster(&roster(b"x/s"));
    let prefix = keys.key_prefix(Mode::Exclusive, Some(b"m/1"), 10, NonZeroU32::MIN);
    let expected = "/prod/x%20y/a%2Fb/lock/x%2Fs/x/m%2F1/000000000000000a.1.";
    assert_eq!(String::from_utf8(prefix.clone()).unwrap(), expected);
    assert!(keys.contains(&prefix) && !layout.roster(&roster(b"x")).contains(&prefix));
}

#[test]
fn every_byte_comes_back() {
    let all: Vec<u8> = (0..=255).collect();
    let text = escape(&all).to_string();
    assert!(text.is_ascii() && !text.contains('/'));
    assert_eq!(unescape(&text), Some(all));
    assert_eq!(unescape("a%2"), None);
    assert_eq!(unescape("%zz"), None);
}

#[test]
fn values_are_read_back() {
    let stored = entry_value(Nonce(7), b"7 8\n9");
    assert_eq!(parse_value(&stored), Some((Nonce(7), &b"7 8\n9"[..])));
    for other in [&b""[..], b"\n", b"1\n", b"0000000000000000000000000000000a 1 x\n"] {
        assert_eq!(parse_value(other), None);
    }
}

#[test]
fn a_list_of_names_skips_all_keys_of_a_name() {
    let (layout, x) = (Layout::new("", "ns"), Name::new("x/y").unwrap());
    let names = layout.names(Kind::Lock.as_str());
    let key = layout.roster(&roster(b"x/y")).key_prefix(Mode::Shared, None, 1, NonZeroU32::MIN);
    assert_eq!(names.name_of(&key), Some(x.clone()));
    assert_eq!(names.next_start(&key), b"/ns/lock/x%2Fy0");
    assert_eq!(names.next_start(b"/ns/lock/zz"), b"/ns/lock/zz\0");
    let range = names.behind(Some(&x));
    assert!(range.start > key && range.end == b"/ns/lock0");
}

#[test]
fn conflicts_are_one_range() {
    let keys = Layout::new("", "ns").roster(&roster(b"n"));
    let within = |range: &KeyRange, mode| {
        let key = keys.key_prefix(mode, None, -1, NonZeroU32::MAX);
        range.start <= key && key < range.end
    };
    use Mode::{Exclusive as X, Member as M, Shared as S};
    let conflicts = [X, S, M].map(|mode| keys.conflicting(mode));
    let expected = [[true, true, false], [true, false, false], [false, false, false]];
    assert_eq!(conflicts.map(|range| [X, S, M].map(|mode| within(&range, mode))), expected);
}

#[test]
fn a_segment_contains_its_messages_only() {
    let topic = Layout::new("", "ns").topic(&Name::new("t").unwrap());
    let within = |range: KeyRange, key: Vec<u8>| range.start <= key && key < range.end;
    let message = |segment| topic.message(segment, -1, u64::MAX);
    assert_eq!([1, 2, 3, 4].map(|number| within(topic.messages(2, 3), message(number))), [false, true, true, false]);
    let segments = [1, 2, 3, 4].map(|number| within(topic.segment_range(2, 3), topic.segment(number)));
    assert_eq!(segments, [false, true, true, false]);
    assert!(within(topic.all_messages(), message(u64::MAX)) && within(topic.segments(), topic.segment(u64::MAX)));
    assert_eq!([revision_of(Offset(7)), revision_of(Offset(u64::MAX))], [7, i64::MAX]);
}

#[test]
fn the_limit_of_an_exclusive_entry_is_in_its_key() {
    let keys = Layout::new("", "ns").roster(&roster(b"n"));
    let [two, three] = [2, 3].map(|limit| NonZeroU32::new(limit).unwrap());
    let key = |mode, unique| keys.key_prefix(mode, unique, 1, two);
    assert!(keys.is_exclusive(&key(Mode::Exclusive, None), two));
    assert!(keys.is_exclusive(&key(Mode::Exclusive, Some(b"1.3.1")), two));
    assert!(!keys.is_exclusive(&key(Mode::Exclusive, None), three));
    assert!(!keys.is_exclusive(&key(Mode::Shared, Some(b"x")), two));
    assert!(!keys.is_exclusive(b"/ns/lock/n/x/1", NonZeroU32::MIN));
}
