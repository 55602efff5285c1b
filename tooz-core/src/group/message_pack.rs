//! Capabilities as MessagePack, the encoding of Python's tooz.
//!
//! Decoders and encoders recurse into nested values, and a process whose stack overflows is aborted. [`check`] therefore
//! walks over the encoded bytes without recursion first, and refuses what is nested too deeply or cut off.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::driver::SessionOptions;
use crate::{Error, ErrorKind, Result};

/// How deeply lists and maps may be nested.
const MAX_DEPTH: usize = 64;

/// Encodes capabilities for an entry.
///
/// # Errors
/// `InvalidOption` if they cannot be encoded, are nested too deeply or are larger than the options allow.
pub(super) fn encode(capabilities: impl Serialize, options: &SessionOptions) -> Result<Vec<u8>> {
    let encoded = rmp_serde::to_vec_named(&capabilities).map_err(|error| {
        Error::new(ErrorKind::InvalidOption, "failed to encode the capabilities as MessagePack").with_source(error)
    })?;
    check(&encoded).map_err(|cause| Error::new(ErrorKind::InvalidOption, cause))?;
    options.check_value_size("the capabilities", encoded.len())?;
    Ok(encoded)
}

/// Decodes the capabilities of another member.
///
/// # Errors
/// `Corrupt` if they are malformed, are nested too deeply or have another type.
pub(super) fn decode<T: DeserializeOwned>(encoded: &[u8]) -> Result<T> {
    check(encoded).map_err(|cause| Error::new(ErrorKind::Corrupt, cause))?;
    rmp_serde::from_slice(encoded).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the capabilities do not have the requested type").with_source(error)
    })
}

/// Checks the first value in `encoded`.
fn check(encoded: &[u8]) -> Result<(), String> {
    let mut rest = encoded;
    // How many values are left to check in each open list or map. The first number is for the outermost value.
    let mut open = vec![1];
    while let Some(missing) = open.last_mut() {
        if *missing == 0 {
            open.pop();
            continue;
        }
        *missing -= 1;
        let Header { bytes, values } = Header::read(&mut rest).ok_or("the capabilities are not valid MessagePack")?;
        rest = usize::try_from(bytes).ok().and_then(|bytes| rest.get(bytes..)).ok_or("the capabilities are cut off")?;
        if values > 0 {
            if open.len() > MAX_DEPTH {
                return Err(format!("the capabilities are nested more than {MAX_DEPTH} levels deep"));
            }
            open.push(values);
        }
    }
    Ok(())
}

/// What follows the first byte and the length of a value.
struct Header {
    /// How many bytes of content.
    bytes: u64,
    /// How many nested values.
    values: u64,
}

impl Header {
    /// Reads the first byte and the length, as the MessagePack specification lists them. `None` if they are malformed.
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let marker = number(rest, 1)?;
        let (bytes, values) = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0),
            0x80..=0x8f => (0, (marker & 0x0f) * 2),
            0x90..=0x9f => (0, marker & 0x0f),
            0xa0..=0xbf => (marker & 0x1f, 0),
            0xc4..=0xc6 => (number(rest, 1 << (marker - 0xc4))?, 0),
            0xc7..=0xc9 => (number(rest, 1 << (marker - 0xc7))? + 1, 0),
            0xca => (4, 0),
            0xcb => (8, 0),
            0xcc..=0xcf => (1 << (marker - 0xcc), 0),
            0xd0..=0xd3 => (1 << (marker - 0xd0), 0),
            0xd4..=0xd8 => ((1 << (marker - 0xd4)) + 1, 0),
            0xd9..=0xdb => (number(rest, 1 << (marker - 0xd9))?, 0),
            0xdc..=0xdd => (0, number(rest, 2 << (marker - 0xdc))?),
            0xde..=0xdf => (0, number(rest, 2 << (marker - 0xde))? * 2),
            _ => return None,
        };
        Some(Self { bytes, values })
    }
}

/// Reads a big-endian number of at most four bytes.
fn number(rest: &mut &[u8], length: usize) -> Option<u64> {
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::{Capabilities, Value};
    use super::*;
    use crate::Name;

    fn encoded(value: impl Serialize) -> Result<Vec<u8>> {
        let options = SessionOptions::new("tooz", Name::new("a")?, Duration::from_secs(1), Duration::from_secs(1));
        encode(value, &options)
    }

    fn nested(depth: usize) -> Vec<u8> {
        [vec![0x91; depth], vec![0xc0]].concat()
    }

    #[test]
    fn the_wire_format_is_a_messagepack_map() {
        let bytes = encoded(Capabilities::from_iter([("weight", 2)])).unwrap();
        assert_eq!(bytes, b"\x81\xa6weight\x02");
        assert_eq!(decode::<Capabilities>(&bytes).unwrap().get("weight"), Some(&Value::Int(2)));
        assert_eq!(decode::<Capabilities>(&encoded(()).unwrap()).unwrap(), Capabilities::default());
    }

    #[test]
    fn what_python_writes_was_refused_or_changed() {
        // {"b": b"\x00\xff", "t": Ext(3, ...), "u": 2**64 - 1, 7: 1, b"k": [b"\xff"], "i": -1, "f": 1.5}
        let python = b"\x87\xa1b\xc4\x02\x00\xff\xa1t\xd5\x03\x01\x02\xa1u\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x07\x01\
            \xc4\x01k\x91\xc4\x01\xff\xa1i\xff\xa1f\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00";
        let capabilities: Capabilities = decode(python).unwrap();
        assert_eq!(capabilities.get("b"), Some(&Value::Bytes(vec![0, 255])));
        assert_eq!(capabilities.get("t"), Some(&Value::Ext(3, vec![1, 2])));
        assert_eq!(capabilities.get("u"), Some(&Value::Uint(u64::MAX)));
        assert!(capabilities.iter().any(|pair| pair == (&Value::Int(7), &Value::Int(1))));
        assert_eq!(encoded(capabilities).unwrap(), python);
    }

    #[test]
    fn eight_hundred_nested_lists_aborted_every_reader() {
        for depth in [MAX_DEPTH + 1, 800, 1_000_000] {
            let error = decode::<Value>(&nested(depth)).unwrap_err();
            assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("64 levels"), "{error}");
        }
        let deepest: Value = decode(&nested(MAX_DEPTH)).unwrap();
        assert_eq!(encoded(&deepest).unwrap(), nested(MAX_DEPTH));
        let error = encoded([deepest]).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidOption && error.to_string().contains("64 levels"), "{error}");
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        for cut in
            [&b"\xdd\xff\xff\xff\xff\xc0"[..], b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x92\xc0", b""]
        {
            assert_eq!(decode::<Value>(cut).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn large_capabilities_are_refused_with_both_sizes() {
        let large = Value::from(vec![0; SessionOptions::DEFAULT_MAX_VALUE_SIZE]);
        let error = encoded(large).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.to_string().contains("65541 bytes, but at most 65536"), "{error}");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("NaN differs from itself", |float| !float.is_nan()).prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
            (any::<i8>(), prop::collection::vec(any::<u8>(), 0..20))
                .prop_map(|(number, bytes)| Value::Ext(number, bytes)),
        ];
        leaf.prop_recursive(4, 40, 20, |inner| {
            let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..20);
            prop_oneof![prop::collection::vec(inner, 0..20).prop_map(Value::from), pairs.prop_map(Value::from)]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_read_as_it_was_written(value in values()) {
            prop_assert_eq!(decode::<Value>(&encoded(&value).unwrap()).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let value = decode::<Value>(&bytes);
            let _ = (decode::<Capabilities>(&bytes), decode::<(i8, String)>(&bytes), decode::<Option<u8>>(&bytes));
            // What the check accepts, the decoder does too.
            prop_assert_eq!(value.is_ok(), check(&bytes).is_ok());
        }
    }
}
