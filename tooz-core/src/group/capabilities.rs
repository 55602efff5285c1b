//! The capabilities of a member: a map of names to values.

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::value::Value;

/// A map of names to values, which a member publishes when it joins a group.
///
/// [`Group::join`](crate::Group::join) accepts any other serde type as well. Capabilities that a client in another language
/// has written may have names that are not text. They keep the order of their writer.
///
/// ```
/// use tooz_core::{Capabilities, Value};
///
/// let capabilities = Capabilities::from_iter([("weight", Value::from(2)), ("zone", Value::from("b"))]);
/// assert_eq!(capabilities.get("weight"), Some(&Value::Int(2)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capabilities(Vec<(Value, Value)>);

impl Capabilities {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
    }

    /// Sets the value of `name`.
    pub fn insert(&mut self, name: impl Into<Value>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, present)) => *present = value,
            None => self.0.push((name, value)),
        }
    }

    /// All names and values, in the order in which the member has written them.
    pub fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Capabilities {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut capabilities = Self::default();
        pairs.into_iter().for_each(|(name, value)| capabilities.insert(name, value));
        capabilities
    }
}

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(pairs) => Ok(Self(pairs)),
            Value::Nil => Ok(Self::default()),
            _ => Err(de::Error::custom("the capabilities are not a map")),
        }
    }
}
