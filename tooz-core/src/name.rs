//! Names of locks, groups, topics and members: 1 to 512 arbitrary bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, ErrorKind, Result, text_or_bytes};

/// The name of a lock, election, group, topic or member: 1 to [`Name::MAX_LEN`] arbitrary bytes.
///
/// A driver escapes the bytes that its backend cannot store, and lists names unchanged. `Display` shows UTF-8 as text and
/// escapes control characters and all other bytes.
///
/// ```
/// use tooz_core::Name;
///
/// assert_eq!(Name::new("jobs/ü")?.to_string(), "jobs/ü");
/// assert_eq!(Name::new([0xff, b'a'])?.to_string(), r"\xffa");
/// assert!(Name::new("").is_err());
/// assert_eq!("jobs/1".parse::<Name>()?, "jobs/1");
/// # Ok::<(), tooz_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The greatest length of a name in bytes.
    pub const MAX_LEN: usize = 512;

    /// Makes a name of `bytes` if their number is valid.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] if `bytes` is empty or too long.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = bytes.as_ref();
        match bytes.len() {
            0 => Err(Error::new(ErrorKind::InvalidName, "a name needs at least one byte")),
            len if len > Self::MAX_LEN => Err(Error::new(
                ErrorKind::InvalidName,
                format!("a name has at most {} bytes, but this one has {len}; use a hash of it", Self::MAX_LEN),
            )),
            _ => Ok(Self(bytes.into())),
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character.is_control() {
                    true => write!(f, "{}", character.escape_default())?,
                    false => write!(f, "{character}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Text in formats for people if the name is UTF-8, else a list of numbers; bytes in binary formats.
impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text_or_bytes::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(text_or_bytes::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl PartialEq<Name> for str {
    fn eq(&self, other: &Name) -> bool {
        other == self
    }
}

impl PartialEq<Name> for &str {
    fn eq(&self, other: &Name) -> bool {
        other == *self
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Name {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<&[u8]> for Name {
    type Error = Error;

    fn try_from(bytes: &[u8]) -> Result<Self> {
        Self::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_name_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            match Name::new(&bytes) {
                Ok(name) => {
                    prop_assert_eq!(name.as_bytes(), &bytes);
                    prop_assert!(!name.to_string().chars().any(char::is_control));
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::InvalidName);
                    prop_assert!(bytes.is_empty() || bytes.len() > Name::MAX_LEN);
                }
            }
        }
    }
}
