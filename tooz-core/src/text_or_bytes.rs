//! Bytes for serde. In formats for people, such as JSON, they are text if they are UTF-8, and else a list of numbers. In
//! binary formats they are bytes.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess};
use serde::ser::Serializer;

pub(crate) fn serialize<S: Serializer>(bytes: impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    let bytes = bytes.as_ref();
    match std::str::from_utf8(bytes) {
        _ if !serializer.is_human_readable() => serializer.serialize_bytes(bytes),
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.collect_seq(bytes),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match deserializer.is_human_readable() {
        true => deserializer.deserialize_any(Visitor),
        false => deserializer.deserialize_bytes(Visitor),
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or bytes")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Name;

    proptest! {
        #[test]
        fn a_name_comes_back_from_text_and_binary_formats(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let name = Name::new(bytes).unwrap();
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Name>(&json).unwrap(), &name);
            let binary = rmp_serde::to_vec(&name).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Name>(&binary).unwrap(), name);
        }
    }

    #[test]
    fn text_stays_text_and_invalid_names_are_refused() {
        assert_eq!(serde_json::to_string(&Name::new("jobs/ü").unwrap()).unwrap(), "\"jobs/ü\"");
        assert!(serde_json::from_str::<Name>("\"\"").unwrap_err().to_string().contains("at least one byte"));
    }
}
