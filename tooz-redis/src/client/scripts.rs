//! The Lua scripts, one for each verb, and their replies.

use std::sync::OnceLock;
use std::vec;

use fred::bytes::Bytes;
use fred::bytes_utils::Str;
use tooz_core::{Error, ErrorKind, Result};

/// A Lua script: the library files that it needs, then its own file.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    /// The SHA-1 digest of the source, computed at the first use.
    pub(crate) digest: OnceLock<Str>,
}

macro_rules! scripts {
    ($($constant:ident $name:literal: $($part:literal)*;)*) => {
        $(pub(crate) static $constant: Script = Script {
            name: $name,
            source: concat!(
                include_str!("../scripts/lib/keys.lua"),
                $(include_str!(concat!("../scripts/", $part, ".lua")),)*
                include_str!(concat!("../scripts/", $name, ".lua")),
            ),
            digest: OnceLock::new(),
        };)*
    };
}

scripts! {
    OPEN "open": "lib/entries" "lib/sessions";
    CLOSE "close": "lib/entries" "lib/sessions";
    ECHO "echo": "lib/entries" "lib/sessions";
    ENTRIES "entries": "lib/entries";
    ENTER "enter": "lib/sequence" "enter_uncontended" "lib/entries" "lib/sessions";
    LEAVE "leave": "leave_uncontended" "lib/entries";
    WITHDRAW "withdraw": "lib/entries";
    EVICT "evict": "lib/entries";
    REPLACE "replace": "lib/entries";
    WAIT "wait": "lib/entries" "lib/sessions";
    SNAPSHOT "snapshot": "lib/entries" "lib/sessions";
    DECLARE "declare": ;
    RETRACT "retract": "lib/entries" "lib/sessions";
    NAMES "names": "lib/entries" "lib/sessions";
    PUBLISH "publish": "lib/sequence" "lib/retention";
    TRIM "trim": "lib/retention";
    READ "read": ;
    BOUNDS "bounds": ;
    TYPES "types": "lib/entries";
}

/// One element of a reply.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Number(i64),
    Bytes(Bytes),
}

/// What a script returned: a word for what happened, then data.
#[derive(Debug)]
pub(crate) struct Reply {
    script: &'static str,
    status: Bytes,
    rest: vec::IntoIter<Part>,
}

impl Reply {
    /// Reads a reply: a list, or words with spaces between them, which are faster to write and to read.
    pub(crate) fn new(script: &'static str, mut parts: Vec<Part>) -> Result<Self> {
        if let [Part::Bytes(words)] = parts.as_slice() {
            parts = words.split(|byte| *byte == b' ').map(|word| Part::Bytes(words.slice_ref(word))).collect();
        }
        let mut rest = parts.into_iter();
        match rest.next() {
            Some(Part::Bytes(status)) => Ok(Self { script, status, rest }),
            _ => Err(unexpected(script, "a reply without a status")),
        }
    }

    pub(crate) fn status(&self) -> &str {
        std::str::from_utf8(&self.status).unwrap_or_default()
    }

    pub(crate) fn has_more(&self) -> bool {
        self.rest.len() > 0
    }

    /// The next element as a number, which may also be text.
    pub(crate) fn number(&mut self) -> Result<i64> {
        let number = match self.rest.next() {
            Some(Part::Number(number)) => Some(number),
            Some(Part::Bytes(text)) => std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()),
            None => None,
        };
        number.ok_or_else(|| unexpected(self.script, "a reply that lacks a number"))
    }

    /// As [`number`](Self::number), for numbers that are never negative.
    pub(crate) fn natural(&mut self) -> Result<u64> {
        self.number().map(|number| number.max(0).unsigned_abs())
    }

    /// The next element as bytes, or `None` at the end.
    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        self.rest.next().map(|part| match part {
            Part::Bytes(bytes) => bytes.to_vec(),
            Part::Number(number) => number.to_string().into_bytes(),
        })
    }

    /// Whether the script did something, for those that say DONE or NONE.
    pub(crate) fn is_done(&self) -> Result<bool> {
        match self.status() {
            "DONE" => Ok(true),
            "NONE" => Ok(false),
            _ => Err(self.unexpected()),
        }
    }

    /// The error for a status that the caller does not know.
    pub(crate) fn unexpected(&self) -> Error {
        unexpected(self.script, &format!("the status {:?}", String::from_utf8_lossy(&self.status)))
    }
}

fn unexpected(script: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the script {script} returned {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = Part> {
        let bytes = prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Part::Bytes(bytes.into()));
        let words = "[A-Z0-9 -]{0,30}".prop_map(|text| Part::Bytes(text.into_bytes().into()));
        prop_oneof![any::<i64>().prop_map(Part::Number), bytes, words]
    }

    proptest! {
        #[test]
        fn any_reply_is_read_or_refused(parts in prop::collection::vec(part(), 0..6)) {
            if let Ok(mut reply) = Reply::new("test", parts) {
                let _ = (reply.status().len(), reply.is_done());
                while reply.has_more() {
                    let _ = reply.natural();
                    let _ = reply.bytes();
                }
                prop_assert!(reply.number().is_err() && reply.bytes().is_none());
            }
        }

        #[test]
        fn a_list_and_its_words_are_the_same_reply(numbers in prop::collection::vec(0..=i64::MAX, 1..6)) {
            let text = numbers.iter().fold("DONE".to_owned(), |text, number| format!("{text} {number}"));
            let list = std::iter::once(Part::Bytes("DONE".into())).chain(numbers.iter().copied().map(Part::Number));
            for parts in [vec![Part::Bytes(text.into())], list.collect()] {
                let mut reply = Reply::new("test", parts).unwrap();
                prop_assert!(reply.is_done().unwrap());
                for number in &numbers {
                    prop_assert_eq!(reply.natural().unwrap(), number.unsigned_abs());
                }
                prop_assert!(!reply.has_more());
            }
        }
    }
}
