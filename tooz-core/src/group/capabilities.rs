//! The capabilities of a member, encoded as MessagePack like those of Python's tooz.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// A value in [`Capabilities`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map with text keys.
    Map(BTreeMap<String, Value>),
}

macro_rules! value_from {
    ($($source:ty => $variant:ident),* $(,)?) => {
        $(impl From<$source> for Value {
            fn from(value: $source) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}
value_from! { bool => Bool, i32 => Int, i64 => Int, u32 => Int, f64 => Float, &str => Text, String => Text, Vec<Value> => List }

/// A map of names to values, which a member publishes when it joins a group.
///
/// [`Group::join`](crate::Group::join) accepts any other serde type as well.
///
/// ```
/// use tooz_core::{Capabilities, Value};
///
/// let capabilities = Capabilities::from_iter([("weight", Value::from(2)), ("zone", Value::from("b"))]);
/// assert_eq!(capabilities.get("weight"), Some(&Value::Int(2)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(BTreeMap<String, Value>);

impl Capabilities {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets the value of `name`.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// All names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Capabilities {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

pub(super) fn encode(capabilities: impl Serialize) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(&capabilities).map_err(|error| {
        Error::new(ErrorKind::InvalidOption, "failed to encode the capabilities as MessagePack").with_source(error)
    })
}

pub(super) fn decode<T: DeserializeOwned>(encoded: &[u8]) -> Result<T> {
    rmp_serde::from_slice(encoded).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the capabilities do not have the requested type").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_is_a_messagepack_map() {
        let encoded = encode(Capabilities::from_iter([("weight", 2)])).unwrap();
        assert_eq!(encoded, b"\x81\xa6weight\x02");
        assert_eq!(decode::<Capabilities>(&encoded).unwrap().get("weight"), Some(&Value::Int(2)));
    }

    #[test]
    fn every_kind_of_value_survives() {
        let list = vec![Value::Nil, Value::Bool(true), Value::Int(-1), Value::Float(1.5), Value::from("ü")];
        let map = Value::Map(BTreeMap::from([("list".to_owned(), Value::List(list))]));
        let capabilities = Capabilities::from_iter([("map", map)]);
        assert_eq!(decode::<Capabilities>(&encode(capabilities.clone()).unwrap()).unwrap(), capabilities);
    }
}
